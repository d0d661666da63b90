//! `/v1/models` and `/v1/chat/completions`: what is accepted, what is answered, and in which shape.

use std::time::Duration;

use http::Request;
use parlance_shared::{
    content::Protocol,
    event::{MessageSubmitted, from_cloud_event},
    port::llm::{PromptMessage, PromptRole},
    task::Status,
};
use serde_json::{Value, json};

use crate::support::{Answer, App, until};

const CHAT: &str = "/v1/chat/completions";

fn asking(text: &str) -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": text}]})
}

async fn submitted(app: &App) -> MessageSubmitted {
    from_cloud_event(&app.event().await).unwrap()
}

/// Checks status and code of an error in OpenAI's shape, and gives it.
#[track_caller]
fn error(answer: &Answer, status: u16, code: &str) -> Value {
    let body = answer.json();
    let error = &body["error"];
    assert_eq!((answer.status.as_u16(), &error["code"]), (status, &json!(code)), "{body}");
    assert_eq!(answer.header("content-type"), "application/json");
    assert!(error["message"].is_string() && error["type"].is_string() && error.get("param").is_some(), "{body}");
    assert!(["true", "false"].contains(&answer.header("x-should-retry")), "{answer:?}");
    assert_eq!(answer.header("x-request-id"), answer.header("x-call-id"));
    error.clone()
}

#[tokio::test]
async fn models_are_those_that_are_allowed_or_the_one_that_is_asked() {
    let app = App::start().await;
    let model = |id: &str| json!({"id": id, "object": "model", "created": 0, "owned_by": "parlance"});
    assert_eq!(app.get("/v1/models").await.json(), json!({"object": "list", "data": [model("outline")]}));
    let app = App::start_with(|state| state.allowed_models = vec!["a".into(), "b/c".into()]).await;
    assert_eq!(app.get("/v1/models").await.json()["data"], json!([model("a"), model("b/c")]));
    assert_eq!(app.get("/v1/models/b/c").await.json(), model("b/c"));
    assert_eq!(app.get("/v1/models/b%2Fc").await.json(), model("b/c"));
    assert_eq!(error(&app.get("/v1/models/d").await, 404, "model_not_found")["type"], "invalid_request_error");
    error(
        &app.post(CHAT, &json!({"model": "d", "messages": [{"role": "user", "content": "a"}]})).await,
        400,
        "invalid_field",
    );
}

#[tokio::test]
async fn all_that_a_client_says_reaches_the_bus() {
    let app = App::start().await;
    let mut body = json!({
        "model": "m", "temperature": 0.5, "max_tokens": 7, "max_completion_tokens": 9, "user": "u", "n": 1, "store": true,
        "stop": null, "logprobs": false, "modalities": ["text"], "stream": true, "tools": [], "metadata": {"a": "b"},
        "response_format": {"type": "json_object"}, "endpoint": "of LibreChat",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "one?"},
            {"role": "assistant", "content": "one."},
            {"role": "user", "content": "two?"}
        ]
    });
    let answer = app.stream_of(Request::post(CHAT), &body).await;
    let event = submitted(&app).await;
    assert_eq!(answer.headers["x-task-id"], event.task_id.to_string().as_str());
    assert_eq!(answer.headers["x-session-id"], event.session_id.to_string().as_str());
    let link = format!("</v1/tasks/{}/stream>; rel=\"alternate\"; type=\"text/event-stream\"", event.task_id);
    assert_eq!(answer.headers["link"], link.as_str());
    let text = PromptMessage::text;
    let history = vec![
        text(PromptRole::System, "Be brief."),
        text(PromptRole::User, "one?"),
        text(PromptRole::Assistant, "one."),
    ];
    assert_eq!((event.content.as_str(), event.input.history, event.input.instructions), ("two?", history, None));
    assert_eq!((event.model.as_deref(), event.metadata), (Some("m"), json!({"a": "b"}).as_object().cloned()));
    assert_eq!(Value::Object(event.input.parameters), json!({"temperature": 0.5, "user": "u"}));
    assert_eq!((event.input.max_output_tokens, event.input.tools), (Some(9), None));
    assert_eq!(event.input.response_format, Some(json!({"type": "json_object"})));
    assert_eq!(event.input.protocol, Protocol::ChatCompletions);

    // In a session of ours its memory is the history, and system messages are this turn's instructions.
    let session = event.session_id;
    body["conversation"] = json!(session);
    drop(app.stream_of(Request::post(CHAT), &body).await);
    let event = submitted(&app).await;
    assert_eq!((event.session_id, event.content.as_str(), event.input.history), (session, "two?", vec![]));
    assert_eq!(event.input.instructions.as_deref(), Some("Be brief."));
    body.as_object_mut().unwrap().remove("conversation");
    drop(app.stream_of(Request::post(CHAT).header("x-session-id", session.to_string()), &body).await);
    assert_eq!(submitted(&app).await.session_id, session);
}

/// A completion is kept in its session until that is deleted, as all is: the SDKs' own default asks for neither.
#[tokio::test]
async fn store_changes_nothing() {
    let app = App::start().await;
    let mut events = Vec::new();
    for store in [json!(null), json!(true), json!(false)] {
        let mut body = asking("a");
        body["stream"] = json!(true);
        body["store"] = store;
        drop(app.stream_of(Request::post(CHAT), &body).await);
        let event = submitted(&app).await;
        events.push((event.content, event.input));
    }
    assert!(events.windows(2).all(|two| two[0] == two[1]), "{events:?}");
}

#[tokio::test]
async fn what_is_not_offered_or_wrong_is_refused_by_name() {
    let app = App::start().await;
    let strange = "ses_019b3f0e8d2a7c41a6f5d2b90c7e4a13";
    for (name, value, param) in [
        ("n", json!(2), "n"),
        ("logprobs", json!(true), "logprobs"),
        ("top_logprobs", json!(3), "top_logprobs"),
        ("modalities", json!(["text", "audio"]), "modalities"),
        ("audio", json!({}), "audio"),
        ("functions", json!([]), "functions"),
        ("temperature", json!("hot"), "temperature"),
        ("max_tokens", json!(0), "max_tokens"),
        ("stream", json!("yes"), "stream"),
        ("stream_options", json!({"include_usage": 1}), "stream_options.include_usage"),
        ("model", json!(5), "model"),
        ("metadata", json!("x"), "metadata"),
        ("tools", json!([{}]), "tools[0].type"),
        ("tool_choice", json!(1), "tool_choice"),
        ("response_format", json!("json"), "response_format"),
        ("conversation", json!("x"), "conversation"),
        ("messages", json!([]), "messages"),
    ] {
        let mut body = asking("a");
        body[name] = value;
        let refused = error(&app.post(CHAT, &body).await, 400, "invalid_field");
        assert_eq!((&refused["param"], &refused["type"]), (&json!(param), &json!("invalid_request_error")));
    }
    let mut body = asking("a");
    body["conversation"] = json!({"id": strange});
    error(&app.post(CHAT, &body).await, 404, "session_not_found");
    error(&app.post(CHAT, &json!({})).await, 400, "missing_field");
    error(&app.send(Request::post(CHAT).header("content-type", "application/json"), "{").await, 400, "invalid_json");
    error(&app.send(Request::post(CHAT), "{}").await, 415, "unsupported_media_type");
    error(&app.get(CHAT).await, 405, "method_not_allowed");
    error(&app.get("/v1/chat/nothing").await, 404, "route_not_found");
    error(&app.get("/v1/chat/completions/chatcmpl-1").await, 404, "task_not_found");
    app.get("/v1/nothing").await.problem(404, "route_not_found");
    app.assert_no_event().await;
}

#[tokio::test]
async fn a_stream_is_chunks_and_a_restart_is_an_error() {
    let app = App::start().await;
    let mut body = asking("a");
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    let mut stream = app.stream_of(Request::post(CHAT), &body).await;
    assert_eq!(stream.headers["content-type"], "text/event-stream");
    let event = submitted(&app).await;
    let role = stream.any().await.unwrap().data;
    assert_eq!(role["choices"][0]["delta"], json!({"role": "assistant", "content": "", "refusal": null}));
    let id = role["id"].as_str().unwrap().to_owned();
    assert_eq!(id.strip_prefix("chatcmpl-"), event.task_id.to_string().strip_prefix("tsk_"));

    // What failed before a word was said is nobody's business.
    let attempt = app.claim(&event).await;
    let mut attempt = app.retry(attempt, "provider_stalled").await;
    attempt.say("Größe: ").await;
    let delta = stream.any().await.unwrap().data;
    assert_eq!((&delta["choices"][0]["delta"], &delta["model"]), (&json!({"content": "Größe: "}), &json!("m")));
    let early = app.get(&format!("{CHAT}/{id}")).await;
    error(&early, 409, "task_not_ended");
    assert_eq!((early.header("x-should-retry"), early.header("retry-after")), ("true", "1"));

    let mut again = app.retry(attempt, "worker_lost").await;
    again.say("whole").await;
    let restarted = stream.any().await.unwrap().data;
    assert_eq!(restarted["error"]["code"], "reply_restarted");
    assert!(restarted["error"]["message"].as_str().unwrap().contains(&event.task_id.to_string()), "{restarted}");
    assert_eq!(stream.any().await, None);
    until("the stream is over", || app.live_subscribers() == 0).await;
    app.end(again, Status::Completed).await;
    let whole = app.get(&format!("{CHAT}/{id}")).await;
    let expected = json!({
        "id": id, "object": "chat.completion", "created": role["created"], "model": "outline",
        "choices": [{
            "index": 0, "logprobs": null, "finish_reason": "stop",
            "message": {"role": "assistant", "content": "whole", "refusal": null, "annotations": []}
        }],
        "usage": {
            "prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8, "prompt_tokens_details": {"cached_tokens": 0}
        },
        "system_fingerprint": null
    });
    assert_eq!(whole.json(), expected);
    assert_eq!(whole.header("x-task-id"), event.task_id.to_string());
}

#[tokio::test]
async fn a_whole_reply_is_waited_for_and_a_key_finds_it_again() {
    let app = App::start().await;
    let ask = || {
        let request = Request::post(CHAT).header("content-type", "application/json").header("idempotency-key", "k1");
        app.send(request, asking("a").to_string())
    };
    let answering = async {
        let event = submitted(&app).await;
        let mut attempt = app.claim(&event).await;
        attempt.say("yes").await;
        app.end(attempt, Status::Completed).await
    };
    let (first, task) = tokio::join!(ask(), answering);
    assert_eq!(first.json()["choices"][0]["message"]["content"], "yes");
    let again = ask().await;
    assert_eq!((again.json(), again.header("x-task-id")), (first.json(), task.id.to_string().as_str()));
    app.assert_no_event().await;
    let other = Request::post(CHAT).header("content-type", "application/json").header("idempotency-key", "k1");
    let refused = app.send(other, asking("b").to_string()).await;
    error(&refused, 409, "idempotency_key_reused");
    assert_eq!(refused.header("x-should-retry"), "false");
}

#[tokio::test]
async fn a_failed_reply_is_an_error_that_says_whether_to_retry() {
    let app = App::start().await;
    let ask = |key: Option<&'static str>| {
        let mut request = Request::post(CHAT).header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        app.send(request, asking("a").to_string())
    };
    for (key, should_retry) in [(None, "true"), (Some("k"), "false")] {
        let failing = async {
            let event = submitted(&app).await;
            app.end(app.claim(&event).await, Status::Failed).await
        };
        let (answer, task) = tokio::join!(ask(key), failing);
        let failed = error(&answer, 504, "provider_stalled");
        assert_eq!(failed["type"], "server_error");
        assert_eq!(answer.header("x-should-retry"), should_retry, "under a key it is the same task");
        assert_eq!(answer.header("x-task-id"), task.id.to_string());
    }
}

#[tokio::test]
async fn a_reply_that_takes_too_long_goes_on_without_its_client() {
    let app = App::start_with(|state| state.limits.completion_patience = Duration::from_millis(50)).await;
    let answer = app.post(CHAT, &asking("a")).await;
    let late = error(&answer, 504, "reply_timeout");
    let event = submitted(&app).await;
    assert!(late["message"].as_str().unwrap().contains(&event.task_id.to_string()));
    assert_eq!(answer.header("x-should-retry"), "false", "asked again it would be another reply");
    let mut attempt = app.claim(&event).await;
    attempt.say("late").await;
    app.end(attempt, Status::Completed).await;
    let id = answer.header("x-task-id").replace("tsk_", "chatcmpl-");
    let whole = app.get(&format!("{CHAT}/{id}")).await.json();
    assert_eq!(whole["choices"][0]["message"]["content"], "late");
}
