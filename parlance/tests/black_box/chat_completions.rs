//! `/v1/chat/completions` through the whole process: what the client says reaches the provider and nothing of ours with it,
//! what the model says comes back in OpenAI's shape, and nothing is lost with a client that is gone.

use std::{collections::HashSet, time::Duration};

use futures_util::StreamExt as _;
use parlance_mock_llm::{Behaviour, Script, expected_reply};
use serde_json::{Value, json};

use crate::support::{Server, World, eventually};

const CHAT: &str = "/v1/chat/completions";

fn asking(text: &str, stream: bool) -> Value {
    json!({"model": "m1", "stream": stream, "messages": [{"role": "user", "content": text}]})
}

/// The frames of a stream, `[DONE]` as a word.
fn frames(body: &str) -> Vec<Value> {
    let whole = body.split_inclusive("\n\n").filter_map(|frame| frame.strip_suffix("\n\n"));
    let data = whole.filter_map(|frame| frame.strip_prefix("data: "));
    data.map(|data| if data == "[DONE]" { json!(data) } else { serde_json::from_str(data).unwrap() }).collect()
}

fn text_of(frames: &[Value]) -> String {
    frames.iter().filter_map(|frame| frame["choices"][0]["delta"]["content"].as_str()).collect()
}

async fn streamed(server: &Server, body: &Value) -> (String, Vec<Value>) {
    let answer = server.post(CHAT, body).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/event-stream"), "{answer:?}");
    (answer.header("x-task-id").to_owned(), frames(&answer.body))
}

fn completion_path(task: &str) -> String {
    format!("{CHAT}/{}", task.replace("tsk_", "chatcmpl-"))
}

#[tokio::test]
async fn what_the_client_says_is_what_the_model_is_told() {
    let world = World::new(Script::always(Behaviour::tokens(12))).with("HEADINGS", "on");
    let server = world.start().await;
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8=", "detail": "low"}});
    let format = json!({"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}});
    let call = json!({"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}});
    let parts = json!([{"type": "text", "text": "and this?"}, image]);
    let messages = json!([
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "look"},
        {"role": "assistant", "content": null, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
        {"role": "assistant", "content": "A cat."},
        {"role": "user", "content": parts}
    ]);
    let body = json!({
        "model": "m1", "messages": messages, "temperature": 0.25, "seed": 7, "max_completion_tokens": 30, "user": "u1",
        "response_format": format, "unknown": {"to": "all"}, "stream_options": null
    });
    let answer = server.post(CHAT, &body).await;
    let whole = answer.expect(200);
    assert_eq!(whole["choices"][0]["message"]["content"], expected_reply("and this?", 12));
    assert_eq!((&whole["model"], &whole["choices"][0]["finish_reason"]), (&json!("m1"), &json!("stop")), "{whole}");
    assert_eq!(whole["usage"]["completion_tokens"], 12);
    assert_eq!(server.get(&completion_path(answer.header("x-task-id"))).await.json(), whole, "stored, and the same");

    let asked = world.turns_asked();
    let told: Vec<_> = asked[0].messages.iter().map(|m| (m.role.as_str(), m.content.as_str())).collect();
    let expected = [
        ("system", "Be brief."),
        ("user", "look"),
        ("assistant", ""),
        ("tool", "a cat"),
        ("assistant", "A cat."),
        ("user", "and this?"),
    ];
    assert_eq!(told, expected);
    assert_eq!((&asked[0].messages[2].tool_calls[0], asked[0].messages[5].parts.len()), (&call, 2));
    assert_eq!((asked[0].model.as_deref(), asked[0].max_tokens), (Some("m1"), Some(30)));
    assert_eq!(asked[0].response_format, Some(format));
    assert_eq!(Value::Object(asked[0].parameters.clone()), json!({"temperature": 0.25, "seed": 7, "user": "u1"}));

    // The conversation that the client told goes on natively, and was not thought of a heading for.
    let next = server.say(Some(answer.header("x-session-id")), "what was it?").await;
    server.ended(&next.task).await;
    let last = world.turns_asked().pop().unwrap();
    let roles: Vec<_> = last.messages.iter().map(|message| message.role.as_str()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "assistant", "user", "assistant", "user"]);
    assert_eq!(world.mock.requests().len(), 2, "no request for a heading");
}

#[tokio::test]
async fn a_stream_gives_the_stored_text_with_calls_and_usage() {
    let world = World::new(Script::default());
    let server = world.start().await;
    let text = "stream it [[mock tokens=40 tool=weather args={\"city\":\"Zürich\"} tool=time]]";
    let mut body = asking(text, true);
    body["stream_options"] = json!({"include_usage": true});
    body["tools"] = json!([{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]);
    let (task, frames) = streamed(&server, &body).await;
    assert_eq!(text_of(&frames), expected_reply(text, 40));
    assert_eq!(frames[0]["choices"][0]["delta"]["role"], "assistant");
    let ids: HashSet<_> = frames.iter().filter_map(|frame| frame["id"].as_str()).collect();
    assert_eq!(ids, HashSet::from([task.replace("tsk_", "chatcmpl-").as_str()]));
    let calls: Vec<_> = frames.iter().filter_map(|frame| frame["choices"][0]["delta"].get("tool_calls")).collect();
    assert_eq!(calls[0][0]["function"], json!({"name": "weather", "arguments": "{\"city\":\"Zürich\"}"}));
    assert_eq!((&calls[0][0]["index"], &calls[1][0]["index"]), (&json!(0), &json!(1)));
    let [.., finish, usage, done] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!((&finish["choices"][0]["finish_reason"], done), (&json!("tool_calls"), &json!("[DONE]")));
    assert_eq!(usage["choices"], json!([]));
    let stored = server.ended(&task).await;
    assert_eq!(stored["reply"]["content"], text_of(&frames));
    assert_eq!(usage["usage"]["completion_tokens"], stored["usage"]["output_tokens"]);
    assert_eq!(server.get(&completion_path(&task)).await.json()["usage"], usage["usage"]);

    // The results go back with all that was said, as these clients send it.
    let calls: Vec<Value> = calls
        .iter()
        .map(|call| {
            let mut call = call[0].clone();
            call.as_object_mut().unwrap().remove("index");
            call
        })
        .collect();
    let result = |n: usize| json!({"role": "tool", "tool_call_id": calls[n]["id"], "content": format!("result {n}")});
    body["messages"] = json!([
        {"role": "user", "content": "look"},
        {"role": "assistant", "content": "", "tool_calls": calls},
        result(0), result(1)
    ]);
    body["stream"] = json!(false);
    server.post(CHAT, &body).await.expect(200);
    let asked = world.turns_asked().pop().unwrap();
    let told: Vec<_> = asked.messages.iter().map(|m| (m.role.as_str(), m.content.as_str())).collect();
    assert_eq!(told, [("user", "look"), ("assistant", ""), ("tool", "result 0"), ("tool", "result 1")]);
}

#[tokio::test]
async fn a_client_that_vanishes_loses_nothing() {
    let world = World::new(Script::always(Behaviour::tokens(60).with_token_delay(Duration::from_millis(10))));
    let server = world.start().await;
    let url = format!("http://{}{CHAT}", server.address);
    let client = reqwest::Client::builder().tls_certs_only([]).no_proxy().build().unwrap();
    for stream in [true, false] {
        let text = format!("vanish {stream}");
        let sending = client.post(&url).header("content-type", "application/json");
        let request = sending.body(asking(&text, stream).to_string()).send();
        if stream {
            let response = request.await.unwrap();
            let task = response.headers()["x-task-id"].to_str().unwrap().to_owned();
            let mut body = response.bytes_stream();
            let mut seen = String::new();
            while text_of(&frames(&seen)).len() < 20 {
                seen.push_str(std::str::from_utf8(&body.next().await.unwrap().unwrap()).unwrap());
            }
            drop(body);
            let early = server.get(&completion_path(&task)).await;
            assert_eq!((early.status, early.header("x-should-retry")), (409, "true"), "{early:?}");
            assert_eq!(early.json()["error"]["code"], "task_not_ended");
            server.ended(&task).await;
            let whole = server.get(&completion_path(&task)).await.expect(200);
            assert_eq!(whole["choices"][0]["message"]["content"], expected_reply(&text, 60));
        } else {
            let asked = async || world.turns_asked().iter().any(|request| request.last_user_text == text).then_some(());
            tokio::select! {
                answer = request => panic!("it was answered: {answer:?}"),
                () = eventually("the model is asked", asked) => {}
            }
            // Whoever sees the session finds the whole reply.
            let reply = eventually("the reply is stored", async || {
                let sessions = server.get("/v1/sessions").await.json();
                let id = sessions["data"][0]["id"].as_str()?.to_owned();
                let messages = server.get(&format!("/v1/sessions/{id}/messages")).await.json();
                let (user, assistant) = (&messages["data"][0], &messages["data"][1]);
                (user["content"] == text && assistant["status"] == "completed").then(|| assistant["content"].clone())
            });
            assert_eq!(reply.await, expected_reply(&text, 60));
        }
    }
}

#[tokio::test]
async fn another_attempt_never_follows_what_was_sent_of_one_before() {
    let world = World::new(Script::default());
    let server = world.start().await;
    let mixed = "cut [[mock tokens=30 fault=cut_mid_stream after=7 times=1 vary=1]]";
    let (task, seen) = streamed(&server, &asking(mixed, true)).await;
    let last = seen.last().unwrap();
    assert_eq!((&last["error"]["code"], &last["error"]["type"]), (&json!("reply_restarted"), &json!("server_error")));
    assert!(last["error"]["message"].as_str().unwrap().contains(&format!("GET /v1/tasks/{task}")), "{last}");
    let whole = server.ended(&task).await;
    assert_eq!((&whole["status"], &whole["attempt"]), (&json!("completed"), &json!(2)));
    let told = text_of(&seen[..seen.len() - 1]);
    assert!(!told.is_empty() && !seen.contains(&json!("[DONE]")));
    assert_ne!(whole["reply"]["content"], told);
    let stored = server.get(&completion_path(&task)).await.expect(200);
    assert_eq!(stored["choices"][0]["message"]["content"], whole["reply"]["content"]);

    let before = "early [[mock tokens=30 fault=http_500 times=1]]";
    let (_, seen) = streamed(&server, &asking(before, true)).await;
    assert_eq!(text_of(&seen), expected_reply(before, 30), "nothing had been sent: it goes on");
    assert_eq!(seen.last().unwrap(), "[DONE]");
    let whole = server.post(CHAT, &asking(mixed.replace("cut ", "cut again ").as_str(), false)).await;
    assert_eq!(whole.expect(200)["choices"][0]["finish_reason"], "stop", "a whole reply is of one attempt anyhow");
}

#[tokio::test]
async fn each_failure_has_its_status_and_says_whether_to_retry() {
    let world = World::new(Script::default()).with("LLM_MAX_ATTEMPTS", "1").with("CONTEXT_TOKENS", "1000");
    let server = world.start().await;
    for (fault, status, code, retry) in [
        ("http_500", 502, "provider_unavailable", "true"),
        ("http_429", 429, "rate_limit_exceeded", "true"),
        ("http_401", 502, "provider_unauthorized", "false"),
        ("http_400", 400, "provider_rejected", "false"),
        ("http_404", 404, "model_not_found", "false"),
        ("context_too_long", 400, "context_length_exceeded", "false"),
        ("content_refused", 400, "content_filter", "false"),
    ] {
        let text = format!("[[mock fault={fault}]]");
        let answer = server.post(CHAT, &asking(&text, false)).await;
        let error = answer.expect(status)["error"].clone();
        assert_eq!((&error["code"], answer.header("x-should-retry")), (&json!(code), retry), "{error}");
        let (_, frames) = streamed(&server, &asking(&text, true)).await;
        assert_eq!(frames.last().unwrap()["error"], error, "a stream says the same");
    }
    let mut body = asking("short", false);
    body["messages"] =
        json!([{"role": "user", "content": "long ".repeat(1_000)}, {"role": "user", "content": "short"}]);
    let answer = server.post(CHAT, &body).await;
    let error = answer.expect(400)["error"].clone();
    assert_eq!((&error["code"], &error["param"]), (&json!("context_length_exceeded"), &json!("messages")));
    assert!(error["message"].as_str().unwrap().contains("and this model can be sent"), "{error}");
}

#[tokio::test]
async fn a_restart_in_the_middle_ends_the_stream_with_an_error_and_the_reply_is_there_later() {
    let world = World::new(Script::in_turn(
        [Behaviour::tokens(400).with_token_delay(Duration::from_millis(50))],
        Behaviour::tokens(20),
    ));
    let server = world.start().await;
    let url = format!("http://{}{CHAT}", server.address);
    let client = reqwest::Client::builder().tls_certs_only([]).no_proxy().build().unwrap();
    let request = client.post(&url).header("content-type", "application/json").body(asking("go", true).to_string());
    let response = request.send().await.unwrap();
    let task = response.headers()["x-task-id"].to_str().unwrap().to_owned();
    let mut body = response.bytes_stream();
    let mut seen = String::new();
    while text_of(&frames(&seen)).is_empty() {
        seen.push_str(std::str::from_utf8(&body.next().await.unwrap().unwrap()).unwrap());
    }
    let reading = async {
        while let Some(Ok(bytes)) = body.next().await {
            seen.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    };
    tokio::join!(reading, server.stop());
    assert_eq!(frames(&seen).last().unwrap()["error"]["code"], "stream_interrupted", "{seen}");
    let server = world.start().await;
    server.ended(&task).await;
    let whole = server.get(&completion_path(&task)).await.expect(200);
    assert_eq!(whole["choices"][0]["message"]["content"], expected_reply("go", 20));
}
