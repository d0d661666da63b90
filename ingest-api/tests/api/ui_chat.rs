//! `/v1/ui/chat`: what is accepted, under which ids, and how it is read back.

use http::Request;
use parlance_shared::{
    content::{ContentPart, Protocol},
    event::{MessageSubmitted, from_cloud_event},
    port::turns::{CheckpointTurn, Turns as _},
    task::Status,
};
use serde_json::{Value, json};

use crate::support::{App, Events};

const CHAT: &str = "/v1/ui/chat";

fn said(id: &str, text: &str) -> Value {
    json!({"id": id, "role": "user", "parts": [{"type": "text", "text": text}]})
}

fn body(chat: &str, messages: &[Value]) -> Value {
    json!({"id": chat, "messages": messages, "trigger": "submit-message"})
}

async fn ask(app: &App, body: &Value) -> (MessageSubmitted, Events) {
    let answer = app.stream_of(Request::post(CHAT), body).await;
    (from_cloud_event(&app.event().await).unwrap(), answer)
}

/// The chunks of a whole stream.
async fn chunks(mut events: Events) -> Vec<Value> {
    let mut chunks = Vec::new();
    while let Some(frame) = events.any().await {
        if frame.data.is_object() {
            chunks.push(frame.data);
        }
    }
    chunks
}

fn text(chunks: &[Value]) -> String {
    chunks.iter().filter_map(|chunk| chunk["delta"].as_str()).collect()
}

#[tokio::test]
async fn a_message_rides_the_bus_like_any_other() {
    let app = App::start().await;
    let url = "data:image/png;base64,AAAA";
    let last = json!({"id": "m2", "role": "user", "parts": [
        {"type": "file", "mediaType": "image/png", "url": url},
        {"type": "data-mine", "data": 1},
        {"type": "text", "text": "what is it?"}
    ]});
    let mut request = body("a chat/1", &[said("m1", "before"), json!({"role": "assistant"}), last]);
    request["model"] = json!("m");
    request["metadata"] = json!({"a": 1});
    request["anything"] = json!("else");
    let (event, answer) = ask(&app, &request).await;
    assert_eq!(answer.headers["x-vercel-ai-ui-message-stream"], "v1");
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    assert_eq!((event.content.as_str(), event.model.as_deref()), ("what is it?", Some("m")));
    assert!(matches!(&event.input.parts[..], [ContentPart::ImageUrl { .. }, ContentPart::Text { .. }]));
    assert_eq!((event.input.protocol, event.metadata), (Protocol::UiChat, json!({"a": 1}).as_object().cloned()));
    assert!(event.input.history.is_empty(), "what was said before is known here");
    for id in [app.mint.made_for(&app.user, event.session_id), app.mint.made_for(&app.user, event.task_id)] {
        assert!(id, "an id that its owner can not read");
    }
    // The same chat's next message is of the same session, another chat's of another.
    let (next, _answer) = ask(&app, &body("a chat/1", &[said("m3", "next")])).await;
    assert_eq!(next.session_id, event.session_id);
    assert_ne!(next.task_id, event.task_id);
    let (other, _answer) = ask(&app, &body("a chat", &[said("m3", "next")])).await;
    assert_ne!(other.session_id, event.session_id);
    assert_ne!(other.task_id, next.task_id);
}

#[tokio::test]
async fn sent_again_it_joins_the_reply_and_a_resume_reads_it_from_the_start() {
    let app = App::start().await;
    let request = body("c", &[said("m", "hi")]);
    let (event, first) = ask(&app, &request).await;
    let mut attempt = app.claim(&event).await;
    attempt.say("Hel").await;
    let second = app.stream_of(Request::post(CHAT), &request).await;
    app.assert_no_event().await;
    app.record(&event).await;
    let resumed = app.stream("/v1/ui/chat/c/stream").await;
    assert_eq!(resumed.headers["x-vercel-ai-ui-message-stream"], "v1");
    attempt.say("lo").await;
    let task = app.end(attempt, Status::Completed).await;
    for stream in [first, second, resumed] {
        let chunks = chunks(stream).await;
        assert_eq!(chunks[0], json!({"type": "start", "messageId": event.reply_message_id.to_string()}));
        assert_eq!(text(&chunks), "Hello");
        assert_eq!(chunks.last().unwrap(), &json!({"type": "finish", "finishReason": "stop"}));
    }
    app.persist_end(task).await;
    assert_eq!(app.get("/v1/ui/chat/c/stream").await.status, 204);
    let chat = app.get("/v1/ui/chat/c").await.json();
    assert_eq!((&chat["running"], &chat["sessionId"]), (&json!(false), &json!(event.session_id.to_string())));
    let reply = &chat["messages"][1];
    assert_eq!(reply["id"], event.reply_message_id.to_string());
    assert_eq!(reply["parts"], json!([{"type": "step-start"}, {"type": "text", "text": "Hello"}]));
    assert_eq!(app.get("/v1/ui/chat/c/messages").await.json(), chat["messages"]);
    // As the worker remembers it at a turn's end.
    let mut stored = app.turns.checkpoint(&app.user, event.session_id).await.unwrap();
    stored.checkpoint.window.push(CheckpointTurn {
        task_id: event.task_id,
        user: "hi".to_owned(),
        assistant: "Hello".to_owned(),
        input: Default::default(),
        tool_calls: Vec::new(),
        tokens: 0,
        accepted_at: Some(event.accepted_at),
    });
    app.turns.save_checkpoint(&app.user, event.session_id, stored).await.unwrap();
    // Anew: the same message, another task, the reply takes the place of the first.
    let mut again = request.clone();
    again["trigger"] = json!("regenerate-message");
    let (anew, _answer) = ask(&app, &again).await;
    assert_ne!(anew.task_id, event.task_id);
    assert_eq!(anew.message_id, event.message_id);
    assert_eq!(anew.input.replaces.unwrap().task_id, event.task_id);
}

#[tokio::test]
async fn the_results_of_tools_go_on_with_the_same_message() {
    let app = App::start().await;
    let tool = json!({"type": "tool-look", "toolCallId": "c1", "state": "output-available", "output": {"a": 1}});
    let denied = json!({"type": "dynamic-tool", "toolCallId": "c2", "state": "output-error", "errorText": "no"});
    let earlier = json!({"type": "tool-look", "toolCallId": "c0", "state": "output-available", "output": 0});
    let step = json!({"type": "step-start"});
    let reply = json!({"id": "r1", "role": "assistant", "parts": [step, earlier, step, tool, denied]});
    let (event, answer) = ask(&app, &body("c", &[said("m", "hi"), reply])).await;
    let results = event.input.tool_results.iter().map(|r| (r.tool_call_id.as_str(), r.content.as_str()));
    assert_eq!(results.collect::<Vec<_>>(), [("c1", "{\"a\":1}"), ("c2", "no")]);
    let mut attempt = app.claim(&event).await;
    attempt.say("so").await;
    app.end(attempt, Status::Completed).await;
    let chunks = chunks(answer).await;
    assert_eq!(chunks[0]["messageId"], "r1", "the client adds a step to its own message");
}

#[tokio::test]
async fn a_stop_cancels_what_runs() {
    let app = App::start().await;
    assert_eq!(app.post("/v1/ui/chat/c/stop", &json!({})).await.json()["stopped"], json!([]));
    let (event, answer) = ask(&app, &body("c", &[said("m", "hi")])).await;
    let stopped = app.post("/v1/ui/chat/c/stop", &json!({})).await.json();
    assert_eq!(stopped["stopped"][0]["id"], event.task_id.to_string());
    let chunks = chunks(answer).await;
    assert_eq!(chunks.last().unwrap(), &json!({"type": "abort", "reason": "cancelled"}));
}

#[tokio::test]
async fn what_is_wrong_is_a_sentence_that_names_the_field() {
    let app = App::start().await;
    let user = |parts: Value| json!({"id": "m", "role": "user", "parts": parts});
    let waits = json!({"type": "tool-look", "toolCallId": "c", "state": "input-available"});
    let cases = [
        (json!({"messages": [said("m", "a")]}), "id: "),
        (body("", &[said("m", "a")]), "id: "),
        (body("c", &[]), "messages: "),
        (body("c", &[said("", "a")]), "messages[0].id: "),
        (body("c", &[said("m", " ")]), "messages[0].content: "),
        (body("c", &[user(json!([{"type": "file", "mediaType": "text/plain"}]))]), "messages[0].parts[0].mediaType: "),
        (body("c", &[user(json!([{"type": "video"}]))]), "messages[0].parts[0].type: "),
        (body("c", &[json!({"id": "m", "role": "system", "parts": []})]), "messages[0].role: "),
        (body("c", &[json!({"id": "m", "role": "assistant", "parts": [waits]})]), "messages[0].parts[0].state: "),
        (json!({"id": "c", "messages": [said("m", "a")], "trigger": "x"}), "trigger: "),
        (json!({"id": "c", "messages": 5}), "messages: "),
    ];
    for (request, start) in cases {
        let answer = app.post(CHAT, &request).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, 400, "{request} gave {text}");
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
        assert!(!answer.header("x-problem-code").is_empty());
        assert!(text.starts_with(start), "{request} gave {text}");
    }
    app.assert_no_event().await;
    assert_eq!(app.get("/v1/ui/chat/c/stream?message=m").await.status, 400);
    assert_eq!(app.get("/v1/ui/chat/c/stream?message_id=m").await.status, 204);
    assert_eq!(app.get("/v1/ui/chat/c/messages").await.json(), json!([]), "nobody wrote to it");
    assert_eq!(app.delete("/v1/ui/chat/c").await.status, 204);
    assert_eq!(app.get("/v1/ui/chat/c/messages").await.status, 404);
    assert_eq!(app.post(CHAT, &body("c", &[said("m", "a")])).await.status, 404);
}
