//! `openapi.json` is kept by hand, so it is held against the router and against real answers.

use std::collections::BTreeSet;

use http::{Method, Request};
use parlance_shared::{event::from_cloud_event, task::Status};
use serde_json::{Value, json};

use crate::support::{Answer, App};

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

fn description() -> Value {
    serde_json::from_str(include_str!("../../openapi.json")).unwrap()
}

fn described() -> BTreeSet<(String, String)> {
    let description = description();
    let paths = description["paths"].as_object().unwrap();
    let calls = paths.iter().flat_map(|(path, item)| {
        METHODS.iter().filter(|method| item.get(**method).is_some()).map(|method| (path.clone(), (*method).to_owned()))
    });
    calls.collect()
}

/// The router's file holds paths and nothing else, so it can be read as a list.
fn routed() -> BTreeSet<(String, String)> {
    let mut calls = BTreeSet::new();
    for line in include_str!("../../src/router.rs").lines().filter_map(|line| line.trim().strip_prefix(".route(\"")) {
        let (path, handlers) = line.split_once("\", ").unwrap();
        for method in METHODS
            .iter()
            .filter(|method| handlers.starts_with(&format!("{method}(")) || handlers.contains(&format!(".{method}(")))
        {
            calls.insert((path.to_owned(), (*method).to_owned()));
        }
    }
    calls
}

#[test]
fn every_route_is_described_and_every_description_is_routed() {
    assert_eq!(described(), routed());
}

#[tokio::test]
async fn it_is_served_as_it_is_and_every_call_in_it_exists() {
    let app = App::start().await;
    let served = app.get("/openapi.json").await;
    assert_eq!((served.header("content-type"), served.json()), ("application/json", description()));
    for (path, method) in described() {
        let path = path.replace("{session_id}", "x").replace("{task_id}", "x");
        let answer = app.json(method.to_uppercase().parse().unwrap(), &path, &json!({})).await;
        let problem = answer.header("content-type") == "application/problem+json";
        let code = if problem { answer.json()["code"].clone() } else { Value::Null };
        assert!(code != "route_not_found" && code != "method_not_allowed", "{method} {path}: {code}");
    }
}

#[test]
fn references_lead_somewhere_and_operations_have_names_of_their_own() {
    let description = description();
    let mut references = Vec::new();
    collect(&description, "$ref", &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(description.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    let mut names = Vec::new();
    collect(&description, "operationId", &mut names);
    assert_eq!(names.len(), described().len());
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
}

fn collect(value: &Value, key: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                if let (true, Some(text)) = (name == key, value.as_str()) {
                    found.push(text.to_owned());
                }
                collect(value, key, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, key, found)),
        _ => {}
    }
}

/// Checks a value against the part of JSON Schema that the description uses.
fn check(root: &Value, schema: &Value, value: &Value, place: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        return check(root, root.pointer(&reference[1..]).unwrap(), value, place);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let null = json!({"type": "null"});
        let chosen = choices.iter().find(|choice| (**choice == null) == value.is_null());
        return check(root, chosen.unwrap(), value, place);
    }
    if let Some(constant) = schema.get("const") {
        assert_eq!(value, constant, "{place}");
    }
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(value), "{place}: {value} is none of {words:?}");
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let kinds = match &schema["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(several) => several.iter().map(|kind| kind.as_str().unwrap()).collect(),
        _ => vec![kind],
    };
    let is_of_kind = kinds.contains(&kind) || kind == "integer" && kinds.contains(&"number");
    assert!(is_of_kind, "{place}: {value} is not {kinds:?}");
    if let Some(prefix) = schema["pattern"].as_str().and_then(|pattern| pattern.strip_suffix("_[0-9a-f]{32}$")) {
        assert!(
            value.as_str().is_none_or(|id| id.starts_with(&prefix[1..]) && id.len() == prefix.len() + 32),
            "{place}: {value}"
        );
    }
    for (n, item) in value.as_array().into_iter().flatten().enumerate() {
        check(root, &schema["items"], item, &format!("{place}[{n}]"));
    }
    let (Some(object), Some(properties)) = (value.as_object(), schema["properties"].as_object()) else { return };
    for name in schema["required"].as_array().into_iter().flatten() {
        assert!(object.contains_key(name.as_str().unwrap()), "{place} lacks {name}");
    }
    for (name, value) in object {
        let property = properties.get(name).unwrap_or_else(|| panic!("{place}.{name} is not described"));
        check(root, property, value, &format!("{place}.{name}"));
    }
}

/// Checks an answer against what the description says of its call.
pub(crate) fn conforms(method: &str, path: &str, answer: &Answer) {
    let root = description();
    let status = answer.status.as_u16().to_string();
    let mut response = &root["paths"][path][method]["responses"][&status];
    if let Some(reference) = response["$ref"].as_str() {
        response = root.pointer(&reference[1..]).unwrap();
    }
    assert!(response.is_object(), "{method} {path}: {status} is not described");
    for name in response["headers"].as_object().into_iter().flatten().map(|(name, _)| name) {
        assert!(!answer.header(name).is_empty(), "{method} {path} {status} lacks the header {name}");
    }
    let Some(content) = response["content"].as_object() else {
        return assert!(answer.body.is_empty(), "{method} {path} {status} has a body");
    };
    let media_type = answer.header("content-type").split(';').next().unwrap();
    let schema = &content.get(media_type).unwrap_or_else(|| panic!("{media_type} is not described"))["schema"];
    if media_type.ends_with("json") {
        check(&root, schema, &answer.json(), path);
    }
}

#[tokio::test]
async fn real_answers_are_as_described() {
    let app = App::start().await;
    let made = app.post("/v1/sessions", &json!({"heading": "a", "metadata": {"b": 1}})).await;
    conforms("post", "/v1/sessions", &made);
    app.event().await;
    let session = made.header("location").to_owned();
    let messages = format!("{session}/messages");
    let accepted = app.post_with_key(&messages, "k", &json!({"content": "a"})).await;
    conforms("post", "/v1/sessions/{session_id}/messages", &accepted);
    let submitted = from_cloud_event(&app.event().await).unwrap();
    let task = accepted.header("location").to_owned();
    conforms("get", "/v1/tasks/{task_id}", &app.get(&task).await);
    app.record(&submitted).await;
    let mut attempt = app.claim(&submitted).await;
    attempt.say("b").await;
    conforms("get", "/v1/tasks/{task_id}", &app.get(&task).await);
    let ended = app.end(attempt, Status::Failed).await;
    app.persist_end(ended).await;
    conforms("get", "/v1/tasks/{task_id}", &app.get(&task).await);
    conforms("get", "/v1/tasks/{task_id}/stream", &app.get(&format!("{task}/stream")).await);
    conforms("get", "/v1/tasks/{task_id}/stream", &app.get(&format!("{task}/stream?after=1-end")).await);
    conforms("get", "/v1/tasks/{task_id}/stream", &app.get(&format!("{task}/stream?after=x")).await);
    conforms("post", "/v1/tasks/{task_id}/cancel", &app.send(Request::post(format!("{task}/cancel")), "").await);
    conforms("get", "/v1/sessions/{session_id}/messages", &app.get(&messages).await);
    conforms("get", "/v1/sessions", &app.get("/v1/sessions").await);
    conforms("get", "/v1/sessions/{session_id}", &app.get(&session).await);
    let patch = app.json(Method::PATCH, &session, &json!({"metadata": null})).await;
    conforms("patch", "/v1/sessions/{session_id}", &patch);
    let faults = app.post("/v1/messages", &json!({"content": "", "strategy": "hurry"})).await;
    conforms("post", "/v1/messages", &faults);
    app.event().await;
    let retried = app.send(Request::post(format!("{task}/retry")), "").await;
    conforms("post", "/v1/tasks/{task_id}/retry", &retried);
    app.record(&from_cloud_event(&app.event().await).unwrap()).await;
    let busy = app.post(&messages, &json!({"content": "c", "strategy": "reject"})).await;
    conforms("post", "/v1/sessions/{session_id}/messages", &busy);
    let all = app.get(&format!("{messages}?branch=all")).await;
    assert_eq!(all.json()["data"].as_array().unwrap().len(), 3, "{all:?}");
    conforms("get", "/v1/sessions/{session_id}/messages", &all);
    conforms("post", "/v1/tasks/{task_id}/retry", &app.send(Request::post(format!("{task}/retry")), "").await);
    let reused = app.post_with_key(&messages, "k", &json!({"content": "b"})).await;
    conforms("post", "/v1/sessions/{session_id}/messages", &reused);
    conforms("post", "/v1/messages", &app.send(Request::post("/v1/messages"), "{}").await);
    conforms("delete", "/v1/sessions/{session_id}", &app.delete(&session).await);
    conforms("get", "/v1/sessions/{session_id}", &app.get(&session).await);
    for path in ["/", "/health", "/health/ready", "/metrics", "/openapi.json"] {
        conforms("get", path, &app.get(path).await);
    }
    app.bus.faults.set(crate::support::Fault::Full);
    conforms("post", "/v1/messages", &app.post("/v1/messages", &json!({"content": "a"})).await);
    app.store.faults.set(crate::support::Fault::Unavailable);
    conforms("get", "/health/ready", &app.get("/health/ready").await);
}
