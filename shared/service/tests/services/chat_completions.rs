//! `/v1/chat/completions` where the reply is made in another process than the one that tells it.

use parlance_mock_llm::{Behaviour, Script, expected_reply, expected_varied_reply};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{World, eventually};

const CHAT: &str = "/v1/chat/completions";
const TOKENS: u32 = 40;

fn asking(text: &str, stream: bool) -> Value {
    json!({"model": "m1", "stream": stream, "messages": [{"role": "user", "content": text}]})
}

fn frames(body: &str) -> Vec<Value> {
    let data = body.split_terminator("\n\n").filter_map(|frame| frame.strip_prefix("data: "));
    data.map(|data| if data == "[DONE]" { json!(data) } else { serde_json::from_str(data).unwrap() }).collect()
}

fn text_of(frames: &[Value]) -> String {
    frames.iter().filter_map(|frame| frame["choices"][0]["delta"]["content"].as_str()).collect()
}

#[tokio::test]
async fn a_killed_worker_ends_the_stream_with_an_error_and_the_reply_is_of_one_attempt() {
    let text = "killed";
    let reply = Behaviour { vary: true, ..Behaviour::tokens(TOKENS) };
    let slow = Behaviour { tokens: 2_000, ..reply.clone() }.with_token_delay(std::time::Duration::from_millis(20));
    let script = Script::choose(move |request| if request.attempt == 0 { slow.clone() } else { reply.clone() });
    let Some(world) = World::new(script).await else { return };
    let (ingest, worker, _persist) = world.all().await;
    // A client that comes back under its key is told the same reply, on whatever instance.
    let other_ingest = world.ingest().await;
    let key = [("idempotency-key", "killed-1")];
    let body = asking(text, true);
    let reading = ingest.try_call(Method::POST, CHAT, &key, Some(&body));
    let killing = async {
        let speaks = async || {
            let asked = world.mock.requests();
            asked.iter().any(|request| request.last_user_text == text && request.tokens_sent > 10).then_some(())
        };
        eventually("the model speaks", speaks).await;
        // What the worker has is stored and sent on a moment later.
        let sessions = async || {
            let listed = ingest.get("/v1/sessions").await.expect(200);
            listed["data"][0]["id"].as_str().map(str::to_owned)
        };
        eventually("the session is listed", sessions).await;
        worker.kill();
        world.llm_worker().await
    };
    let (answer, _other) = tokio::join!(reading, killing);
    let answer = answer.unwrap();
    let seen = frames(&answer.body);
    assert_eq!(seen.last().unwrap()["error"]["code"], "reply_restarted", "{answer:?}");
    let told = text_of(&seen);
    assert!(!told.is_empty() && expected_varied_reply(text, 0, 2_000).starts_with(&told), "{told}");

    let task = answer.header("x-task-id").to_owned();
    let whole = ingest.completed(&task).await;
    assert_eq!(whole["reply"]["content"], expected_varied_reply(text, 1, TOKENS));
    let again = other_ingest.try_call(Method::POST, CHAT, &key, Some(&body)).await.unwrap();
    assert_eq!((again.status, again.header("x-task-id")), (200, task.as_str()));
    let again = frames(&again.body);
    assert_eq!(text_of(&again), expected_varied_reply(text, 1, TOKENS));
    assert_eq!((&again[0]["id"], again.last().unwrap()), (&seen[0]["id"], &json!("[DONE]")));
    let stored = other_ingest.get(&format!("{CHAT}/{}", task.replace("tsk_", "chatcmpl-"))).await.expect(200);
    assert_eq!(stored["choices"][0]["message"]["content"], whole["reply"]["content"]);
}

#[tokio::test]
async fn a_whole_reply_comes_from_the_other_processes() {
    let Some(world) = World::new(Script::always(Behaviour::tokens(TOKENS))).await else { return };
    let (ingest, _worker, _persist) = world.all().await;
    let answer = ingest.post(CHAT, &asking("whole", false)).await;
    let whole = answer.expect(200);
    assert_eq!(whole["choices"][0]["message"]["content"], expected_reply("whole", TOKENS));
    assert_eq!(whole["usage"]["completion_tokens"], TOKENS);
    assert_eq!(frames(&ingest.post(CHAT, &asking("streamed", true)).await.body).last().unwrap(), "[DONE]");
}
