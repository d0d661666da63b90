//! What is the same everywhere: the call's id on each answer, errors by status, an example at each body.

use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

use super::{
    bounds::{self, bind, pattern},
    close::close,
    examples, links, problems, protocols, webhooks,
};
use crate::identity::Access;

/// Methods in the order in which they are shown.
pub(crate) const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// The whole document.
pub(super) fn finish(derived: &OpenApi) -> Value {
    let mut document = serde_json::to_value(derived).unwrap_or_default();
    if let Some(components) = document["components"].as_object_mut() {
        components.insert("headers".to_owned(), headers());
        components.insert("securitySchemes".to_owned(), security_schemes());
        components.insert("examples".to_owned(), problems::examples());
        if let Some(schemas) = components.entry("schemas").or_insert(json!({})).as_object_mut() {
            let made = problems::schemas().into_iter().chain(bounds::schemas());
            schemas.extend(made.map(|(name, schema)| (name.to_owned(), schema)));
            schemas.extend(protocols::schemas());
            close(schemas);
            bind(schemas);
        }
    }
    document["webhooks"] = webhooks::webhooks();
    links::add(&mut document);
    for (path, item) in document["paths"].as_object_mut().into_iter().flatten() {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            if let (true, Some(operation)) = (METHODS.contains(&method.as_str()), operation.as_object_mut()) {
                finish_operation(path, operation);
            }
        }
    }
    document
}

fn finish_operation(path: &str, operation: &mut Map<String, Value>) {
    problems::describe(path, operation);
    operation.insert("security".to_owned(), security(path));
    let id = operation.get("operationId").and_then(Value::as_str).unwrap_or_default().to_owned();
    for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        finish_parameter(parameter);
        if let Some(pattern) = parameter["name"].as_str().and_then(|name| pattern(&id, name)) {
            parameter["schema"]["pattern"] = pattern.into();
        }
    }
    if let Some(body) = operation.get_mut("requestBody") {
        let content = body["content"].as_object();
        let is_optional = content.into_iter().flatten().any(|(_, media)| may_be_null(&media["schema"]));
        body["required"] = (!is_optional).into();
        for media in body["content"].as_object_mut().into_iter().flat_map(Map::values_mut) {
            without_null(&mut media["schema"]);
            add_example(media);
        }
    }
    let is_limited = !path.starts_with("/health");
    for response in operation.get_mut("responses").and_then(Value::as_object_mut).into_iter().flatten() {
        let response = response.1;
        if let Some(headers) = response.as_object_mut().map(|response| response.entry("headers").or_insert(json!({}))) {
            let said = headers.as_object_mut().into_iter().flatten().map(|(_, header)| header);
            said.filter(|header| header["$ref"].is_null()).for_each(|header| header["required"] = true.into());
            headers["x-call-id"] = json!({"$ref": "#/components/headers/CallId"});
            headers["x-trace-id"] = json!({"$ref": "#/components/headers/TraceId"});
            if is_limited {
                headers["RateLimit"] = json!({"$ref": "#/components/headers/RateLimit"});
                headers["RateLimit-Policy"] = json!({"$ref": "#/components/headers/RateLimitPolicy"});
            }
        }
        if let Some(Value::Object(content)) = response.get_mut("content") {
            content.values_mut().for_each(add_example);
        }
    }
}

fn finish_parameter(parameter: &mut Value) {
    without_null(&mut parameter["schema"]);
    if let Some(schema) = parameter["schema"].as_object_mut() {
        schema.remove("format");
    }
}

fn may_be_null(schema: &Value) -> bool {
    schema["oneOf"].as_array().is_some_and(|choices| choices.iter().any(|choice| choice["type"] == "null"))
}

/// In a parameter and as a whole body, absent is the only way to say nothing.
fn without_null(schema: &mut Value) {
    if let Some(choices) = schema["oneOf"].as_array() {
        let given = choices.iter().find(|choice| choice["type"] != "null").cloned();
        *schema = given.unwrap_or_default();
    }
    if let Some(kinds) = schema["type"].as_array() {
        let given = kinds.iter().find(|kind| **kind != "null").cloned();
        schema["type"] = given.unwrap_or_default();
    }
}

/// Where the handler gave none of its own.
fn add_example(media: &mut Value) {
    if media.get("example").is_some() || media.get("examples").is_some() {
        return;
    }
    let name = media["schema"]["$ref"].as_str().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    if let Some(example) = examples::of(name) {
        media["example"] = example;
    }
}

/// What a call must show; as the route asks for it.
fn security(path: &str) -> Value {
    let (key, bearer) = (json!({"ApiKey": []}), json!({"Bearer": []}));
    match Access::of_route(Some(path)) {
        Access::Open => json!([]),
        Access::More => json!([{}, key, bearer]),
        Access::Known | Access::Chat | Access::Operator => json!([key, bearer]),
    }
}

fn security_schemes() -> Value {
    json!({
        "ApiKey": {
            "type": "apiKey",
            "in": "header",
            "name": "X-API-Key",
            "description": "A key made by `parlance keys`. With the scope `act-as-users`, `X-User-Id` names the user that the \
                            call is for. A server without any identity configured, which serves its own machine alone, asks \
                            for no credential.",
        },
        "Bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "The same key, a Google identity token, or a token of an OpenID Connect issuer that the server trusts.",
        },
    })
}

fn headers() -> Value {
    json!({
        "CallId": {
            "description": "Names the call in the server's logs.",
            "required": true,
            "schema": {"type": "string", "pattern": parlance_shared::openapi::id_pattern("call")},
        },
        "TraceId": {
            "description": "The call's trace: that of its `traceparent`, or else a new one.",
            "required": true,
            "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        },
        "RetryAfter": {
            "description": "Seconds to wait before the same call may work.",
            "required": true,
            "schema": {"type": "integer", "minimum": 0},
        },
        "Challenge": {"description": "How to say who calls.", "required": true, "schema": {"type": "string"}},
        "RateLimit": {
            "description": "What is left of each rate, where calls are limited: `\"user\";r=598;t=1` says 598 calls, whole \
                            again in a second.",
            "schema": {"type": "string"},
        },
        "RateLimitPolicy": {
            "description": "The rates: `\"user\";q=600;w=60` says 600 calls in 60 seconds.",
            "schema": {"type": "string"},
        },
    })
}
