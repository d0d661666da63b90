//! The AI SDK's stream across a restart: its client reads the reply from the start, under the same id.

use std::time::Duration;

use parlance_mock_llm::{Behaviour, Script, expected_reply};
use serde_json::{Value, json};

use crate::support::{HttpClient, World, eventually};

const TOKENS: u32 = 40;

/// The chunks of a stream that was read to its end.
fn chunks(body: &str) -> Vec<Value> {
    let frames = body.split("\n\n").filter_map(|frame| frame.strip_prefix("data: "));
    frames.filter_map(|frame| serde_json::from_str(frame).ok()).collect()
}

fn of_type<'a>(chunks: &'a [Value], kind: &str) -> Vec<&'a Value> {
    chunks.iter().filter(|chunk| chunk["type"] == kind).collect()
}

async fn post(client: &HttpClient) -> Vec<Value> {
    let message = json!({"id": "m", "role": "user", "parts": [{"type": "text", "text": "a long one"}]});
    let answer = client.post("/v1/ui/chat", &json!({"id": "c", "messages": [message]})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    chunks(&answer.body)
}

#[tokio::test]
async fn a_reply_that_a_stop_interrupts_is_read_from_the_start_after_it() {
    let slow = Behaviour::tokens(400).with_token_delay(Duration::from_millis(100));
    let world = World::new(Script::in_turn([slow], Behaviour::tokens(TOKENS)));
    let server = world.start().await;
    let client = server.client();
    let (before, ended) = tokio::join!(post(&client), async {
        eventually("it runs", async || (!world.mock.requests().is_empty()).then_some(())).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.process.terminate();
        server.process.end().await
    });
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(of_type(&before, "finish").is_empty(), "a reply that was not whole was told to be: {before:?}");
    assert_eq!(of_type(&before, "error").len(), 1, "{before:?}");

    let server = world.start().await;
    let resumed = server.get("/v1/ui/chat/c/stream").await;
    // A reply that ended meanwhile is in the history, and the same POST still gives it.
    let after = if resumed.status == 204 { post(&server.client()).await } else { chunks(&resumed.body) };
    assert_eq!(of_type(&after, "start"), of_type(&before, "start"), "the same message");
    let text: String = of_type(&after, "text-delta").iter().map(|chunk| chunk["delta"].as_str().unwrap()).collect();
    assert!(text.ends_with(&expected_reply("a long one", TOKENS)), "{text}");
    let again = post(&server.client()).await;
    let text: String = of_type(&again, "text-delta").iter().map(|chunk| chunk["delta"].as_str().unwrap()).collect();
    assert_eq!(text, expected_reply("a long one", TOKENS), "the last attempt alone");
    let history = eventually("the reply is in the record", async || {
        let messages = server.get("/v1/ui/chat/c/messages").await.expect(200);
        (messages.as_array().unwrap().len() == 2).then_some(messages)
    })
    .await;
    assert_eq!(history[1]["parts"][1]["text"], json!(text));
    assert_eq!(history[1]["id"], of_type(&before, "start")[0]["messageId"]);
}
