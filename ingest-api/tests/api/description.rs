//! The description is made from the code, and yet could be wrong: it is held against the router, against real answers, and
//! against itself.

use std::collections::BTreeSet;

use http::{Method, Request};
use ingest_api::description;
use jsonschema::Validator;
use parlance_shared::{event::from_cloud_event, task::Status};
use serde_json::{Value, json};

use crate::support::{Answer, App};

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// Files that hold paths, a line each.
const ROUTES: [&str; 4] = [
    include_str!("../../src/router.rs"),
    include_str!("../../src/openai.rs"),
    include_str!("../../src/openai/responses.rs"),
    include_str!("../../src/ui_chat.rs"),
];

/// Each operation: its path, its method, and what is said of it.
fn operations() -> impl Iterator<Item = (&'static str, &'static str, &'static Value)> {
    let paths = description()["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, item)| {
        METHODS.into_iter().filter_map(move |method| Some((path.as_str(), method, item.get(method)?)))
    })
}

fn described() -> BTreeSet<(String, String)> {
    operations().map(|(path, method, _)| (path.to_owned(), method.to_owned())).collect()
}

/// Those files hold paths and nothing else, so they can be read as lists.
fn routed() -> BTreeSet<(String, String)> {
    let mut calls = BTreeSet::new();
    let lines = ROUTES.into_iter().flat_map(|file| file.lines().map(str::trim));
    for line in lines.filter_map(|line| line.strip_prefix(".route(\"")) {
        let (path, handlers) = line.split_once("\", ").unwrap();
        // What may hold slashes is one parameter all the same.
        let path = path.replace("{*", "{");
        for method in METHODS
            .iter()
            .filter(|method| handlers.starts_with(&format!("{method}(")) || handlers.contains(&format!(".{method}(")))
        {
            calls.insert((path.clone(), (*method).to_owned()));
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
    assert_eq!((served.header("content-type"), &served.json()), ("application/json", description()));
    assert_eq!(description()["openapi"], "3.1.0");
    for (path, method) in described() {
        let path: String =
            path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect::<Vec<_>>().join("/");
        let answer = app.json(method.to_uppercase().parse().unwrap(), &path, &json!({})).await;
        let problem = answer.header("content-type") == "application/problem+json";
        let code = if problem { answer.json()["code"].clone() } else { Value::Null };
        assert!(code != "route_not_found" && code != "method_not_allowed", "{method} {path}: {code}");
    }
}

#[test]
fn references_lead_somewhere_and_operations_have_names_of_their_own() {
    let mut references = Vec::new();
    collect(description(), "$ref", &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(description().pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    let names: Vec<_> = operations().map(|(_, _, operation)| operation["operationId"].as_str().unwrap()).collect();
    assert_eq!(names.len(), described().len());
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    let unfinished = description().to_string().contains("x-problems");
    assert!(!unfinished, "an operation's codes were not turned into answers");
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

/// What a reference leads to.
fn resolved(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(reference) => description().pointer(&reference[1..]).unwrap(),
        None => value,
    }
}

/// A schema of the description, with all that it may refer to.
fn validator(schema: &Value) -> Validator {
    let mut whole = schema.clone();
    whole["components"] = json!({"schemas": description()["components"]["schemas"]});
    jsonschema::draft202012::options().should_validate_formats(true).build(&whole).unwrap()
}

fn check(schema: &Value, value: &Value, place: &str) {
    let faults: Vec<String> =
        validator(schema).iter_errors(value).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
    assert!(faults.is_empty(), "{place}: {faults:#?}\n{value:#}");
}

#[test]
fn schemas_are_schemas_and_examples_are_what_they_are_examples_of() {
    for (name, schema) in description()["components"]["schemas"].as_object().unwrap() {
        assert!(jsonschema::draft202012::meta::validate(schema).is_ok(), "{name}: {schema:#}");
        validator(schema);
    }
    let mut checked = 0;
    for (path, method, operation) in operations() {
        let place = format!("{method} {path}");
        let answers = operation["responses"].as_object().unwrap().values().map(resolved);
        let bodies =
            answers.chain([&operation["requestBody"]]).filter_map(|body| body["content"].as_object()).flatten();
        for (media_type, media) in bodies {
            let several =
                media["examples"].as_object().into_iter().flatten().map(|(_, example)| &resolved(example)["value"]);
            let examples: Vec<_> = media.get("example").into_iter().chain(several).collect();
            let needed = media_type.ends_with("json") && path != "/openapi.json";
            assert!(!needed || !examples.is_empty(), "{place}: {media_type} has no example");
            checked += examples.len();
            examples.into_iter().for_each(|example| check(&media["schema"], example, &place));
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten().map(resolved) {
            parameter.get("example").into_iter().for_each(|example| check(&parameter["schema"], example, &place));
        }
    }
    assert!(checked > 100, "{checked}");
}

#[test]
fn every_error_of_an_operation_has_an_example_with_its_own_status() {
    for (path, method, operation) in operations() {
        for (status, response) in operation["responses"].as_object().unwrap() {
            let Some(problem) = response["content"].get("application/problem+json") else { continue };
            let examples = problem["examples"].as_object().unwrap();
            assert!(!examples.is_empty(), "{method} {path} {status}");
            for (word, example) in examples {
                let value = &resolved(example)["value"];
                assert_eq!(
                    (&value["code"], value["status"].to_string()),
                    (&json!(word), status.clone()),
                    "{method} {path}"
                );
                assert!(
                    response["description"].as_str().unwrap().contains(&format!("`{word}`")),
                    "{method} {path}: {word}"
                );
            }
        }
    }
}

#[tokio::test]
async fn requests_as_in_the_examples_are_accepted() {
    let app = App::start().await;
    for (path, method, operation) in operations() {
        let Some(media) = operation["requestBody"]["content"].get("application/json") else { continue };
        let several =
            media["examples"].as_object().into_iter().flatten().map(|(_, example)| &resolved(example)["value"]);
        for example in media.get("example").into_iter().chain(several) {
            let session = app.post("/v1/sessions", &json!({})).await.json()["id"].as_str().unwrap().to_owned();
            app.persist().await;
            let path = path.replace("{session_id}", &session);
            // What needs a turn that ended is tried where such turns are made, and nobody answers those that wait for a reply.
            if path.contains('{')
                || operation["responses"]
                    .get("200")
                    .is_some_and(|answer| answer["content"].get("text/event-stream").is_some())
            {
                continue;
            }
            let answer = app.json(method.to_uppercase().parse().unwrap(), &path, example).await;
            let accepted = answer.status.is_success();
            assert!(accepted, "{method} {path}: {example:#} was refused: {answer:?}");
            if operation["responses"].as_object().unwrap().contains_key("202") {
                app.event().await;
            }
        }
    }
}

#[tokio::test]
async fn the_page_tells_of_every_operation_and_needs_nobody_else() {
    let app = App::start().await;
    let page = app.get("/docs").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && !policy.contains("http"), "{policy}");
    let html = std::str::from_utf8(&page.body).unwrap();
    for (path, method, operation) in operations() {
        let id = operation["operationId"].as_str().unwrap();
        assert!(html.contains(&format!("<section id=\"{id}\">")), "{method} {path} has no section");
        assert!(html.contains(&format!("href=\"#{id}\"")), "{method} {path} is not in the contents");
    }
    for name in description()["components"]["schemas"].as_object().unwrap().keys() {
        assert!(html.contains(&format!("id=\"schema-{name}\"")), "{name} has no section");
    }
    for link in html.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        let anchor = link.strip_prefix('#').map(|id| format!("id=\"{id}\""));
        assert!(link == "/openapi.json" || anchor.is_some_and(|anchor| html.contains(&anchor)), "{link} leads nowhere");
    }
    for foreign in ["<script", " src=", "<link", "<img", "@import", "url(", "<iframe"] {
        assert!(!html.contains(foreign), "the page has {foreign}");
    }
}

/// Checks an answer against what the description says of its call.
pub(crate) fn conforms(method: &str, path: &str, answer: &Answer) {
    let status = answer.status.as_u16().to_string();
    let response = resolved(&description()["paths"][path][method]["responses"][&status]);
    assert!(response.is_object(), "{method} {path}: {status} is not described");
    for name in response["headers"].as_object().into_iter().flatten() {
        let (name, needed) = (name.0, resolved(name.1)["required"] == true);
        assert!(!needed || !answer.header(name).is_empty(), "{method} {path} {status} lacks the header {name}");
    }
    let Some(content) = response["content"].as_object() else {
        return assert!(answer.body.is_empty(), "{method} {path} {status} has a body");
    };
    let media_type = answer.header("content-type").split(';').next().unwrap();
    let media = content.get(media_type).unwrap_or_else(|| panic!("{media_type} is not described"));
    if !media_type.ends_with("json") {
        return;
    }
    let body = answer.json();
    check(&media["schema"], &body, &format!("{method} {path} {status}"));
    if let (Some(code), Some(examples)) = (body["code"].as_str(), media["examples"].as_object()) {
        assert!(examples.contains_key(code), "{method} {path} {status}: {code} is not described");
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
    for path in ["/", "/health", "/health/ready", "/metrics", "/openapi.json", "/docs"] {
        conforms("get", path, &app.get(path).await);
    }
    app.bus.faults.set(crate::support::Fault::Full);
    conforms("post", "/v1/messages", &app.post("/v1/messages", &json!({"content": "a"})).await);
    app.store.faults.set(crate::support::Fault::Unavailable);
    conforms("get", "/health/ready", &app.get("/health/ready").await);
}
