//! A reply wanted anew and a message edited: the conversation goes on from there, the rest stays readable.

use parlance_mock_llm::{Script, expected_reply, expected_varied_reply};
use serde_json::{Value, json};

use crate::support::{Server, World, eventually};

const TOKENS: u32 = 20;

fn id(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap().to_owned()
}

async fn retry(server: &Server, task: &str) -> Value {
    server.post(&format!("/v1/tasks/{task}/retry"), &json!({})).await.expect(202)
}

/// The contents of the latest prompt.
fn latest_prompt(world: &World) -> Vec<String> {
    let asked = world.turns_asked();
    asked.last().unwrap().messages.iter().map(|message| message.content.clone()).collect()
}

async fn listed(server: &Server, session: &str, count: usize) -> Vec<String> {
    let messages = eventually("the record has it", async || {
        let messages = server.messages(session).await;
        let ended = messages.iter().all(|(_, _, status)| status == "completed");
        (ended && messages.len() == count).then_some(messages)
    })
    .await;
    messages.into_iter().map(|(_, content, _)| content).collect()
}

#[tokio::test]
async fn the_last_reply_is_given_anew() {
    let world = World::new(Script::default());
    let server = world.start().await;
    let first = server.say(None, "hello").await;
    server.ended(&first.task).await;
    let question = "what is a cursor? [[mock vary=1]]";
    let second = server.say(Some(&first.session), question).await;
    let earlier = server.ended(&second.task).await;
    let again = retry(&server, &second.task).await;
    assert_eq!(again["message_id"], earlier["message_id"]);
    let anew = server.ended(&id(&again, "task_id")).await;
    let (was, is) = (expected_varied_reply(question, 0, TOKENS), expected_varied_reply(question, 1, TOKENS));
    assert_eq!((&earlier["reply"]["content"], &anew["reply"]["content"]), (&json!(was), &json!(is)));
    let greeting = expected_reply("hello", TOKENS);
    assert_eq!(latest_prompt(&world), ["hello", greeting.as_str(), question], "the earlier reply is not in it");

    // The conversation goes on from the new one.
    let third = server.say(Some(&first.session), "and then?").await;
    server.ended(&third.task).await;
    assert_eq!(latest_prompt(&world), ["hello", greeting.as_str(), question, is.as_str(), "and then?"]);
    let current = listed(&server, &first.session, 6).await;
    assert_eq!(current[..4], ["hello", greeting.as_str(), question, is.as_str()]);
    let path = format!("/v1/sessions/{}/messages?branch=all", first.session);
    let all = server.get(&path).await.expect(200);
    let superseded: Vec<&str> =
        all["data"].as_array().unwrap().iter().filter_map(|m| m["superseded_by"].as_str()).collect();
    assert_eq!(superseded, [id(&again, "task_id"), id(&again, "task_id")]);
    assert_eq!(server.task(&second.task).await, earlier, "a version of its own");
    let path = format!("/v1/tasks/{}/retry", second.task);
    server.post(&path, &json!({})).await.problem(409, "not_the_last_turn");
}

#[tokio::test]
async fn a_failed_message_is_asked_again() {
    let world = World::new(Script::default()).with("TURN_MAX_ATTEMPTS", "1");
    let server = world.start().await;
    let text = "try [[mock fault=http_500 times=1]]";
    let first = server.say(None, text).await;
    assert_eq!(server.ended(&first.task).await["status"], "failed");
    let again = retry(&server, &first.task).await;
    assert_eq!(server.ended(&id(&again, "task_id")).await["status"], "completed");
    assert_eq!(latest_prompt(&world), [text]);
    assert_eq!(listed(&server, &first.session, 2).await, [text, &expected_reply(text, TOKENS)]);
}

#[tokio::test]
async fn an_edited_message_starts_a_branch() {
    let world = World::new(Script::default());
    let server = world.start().await;
    let first = server.say(None, "one").await;
    server.ended(&first.task).await;
    let second = server.say(Some(&first.session), "two").await;
    let message = id(&server.ended(&second.task).await, "message_id");
    let third = server.say(Some(&first.session), "three").await;
    server.ended(&third.task).await;
    listed(&server, &first.session, 6).await;

    let path = format!("/v1/sessions/{}/messages", first.session);
    let edited = server.post(&path, &json!({"content": "2", "edits": message})).await.expect(202);
    server.ended(&id(&edited, "task_id")).await;
    let one = expected_reply("one", TOKENS);
    assert_eq!(latest_prompt(&world), ["one", one.as_str(), "2"], "only the turns before");
    let two = expected_reply("2", TOKENS);
    assert_eq!(listed(&server, &first.session, 4).await, ["one", one.as_str(), "2", two.as_str()]);
    let all = server.get(&format!("{path}?branch=all")).await.expect(200);
    assert_eq!(all["data"].as_array().unwrap().len(), 8);
    server.post(&path, &json!({"content": "2", "edits": message})).await.problem(409, "message_superseded");

    // An edit of what is being answered interrupts it.
    let running = server.say(Some(&first.session), "long [[mock tokens=400 delay_ms=50]]").await;
    server.stream(&running.task, None).await.until("delta").await;
    let message = id(&server.task(&running.task).await, "message_id");
    server.post(&path, &json!({"content": "short", "edits": message})).await.problem(409, "session_busy");
    let body = json!({"content": "short", "edits": message, "strategy": "interrupt"});
    let edited = server.post(&path, &body).await.expect(202);
    server.ended(&id(&edited, "task_id")).await;
    assert_eq!(server.task(&running.task).await["status"], "cancelled");
    assert_eq!(latest_prompt(&world), ["one", one.as_str(), "2", two.as_str(), "short"]);
}

/// What a message was to replace is no longer part of the conversation, also when there is no answer to the new one.
#[tokio::test]
async fn an_edit_that_fails_leaves_nothing_of_what_it_replaced() {
    let world = World::new(Script::default()).with("TURN_MAX_ATTEMPTS", "1");
    let server = world.start().await;
    let first = server.say(None, "one").await;
    server.ended(&first.task).await;
    let second = server.say(Some(&first.session), "two").await;
    let message = id(&server.ended(&second.task).await, "message_id");
    listed(&server, &first.session, 4).await;

    let path = format!("/v1/sessions/{}/messages", first.session);
    let body = json!({"content": "2 [[mock fault=http_500 times=9]]", "edits": message});
    let edited = server.post(&path, &body).await.expect(202);
    assert_eq!(server.ended(&id(&edited, "task_id")).await["status"], "failed");
    let next = server.say(Some(&first.session), "three").await;
    assert_eq!(server.ended(&next.task).await["status"], "completed");
    assert_eq!(latest_prompt(&world), ["one", &expected_reply("one", TOKENS), "three"]);
}

/// What was said after a branch began is not in the way of a crash.
#[tokio::test]
async fn a_branch_outlives_a_kill() {
    let world = World::new(Script::default());
    let server = world.start().await;
    let first = server.say(None, "question").await;
    server.ended(&first.task).await;
    listed(&server, &first.session, 2).await;
    let again = retry(&server, &first.task).await;
    server.kill();
    let server = world.start().await;
    server.ended(&id(&again, "task_id")).await;
    assert_eq!(latest_prompt(&world), ["question"]);
    assert_eq!(listed(&server, &first.session, 2).await[0], "question");
}

#[tokio::test]
async fn parts_reach_the_model_and_are_read_back() {
    let world = World::new(Script::default());
    let server = world.start().await;
    let parts = json!([
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8=", "detail": "low"}},
    ]);
    let accepted = server.post("/v1/messages", &json!({"content": parts})).await.expect(202);
    let ended = server.ended(&id(&accepted, "task_id")).await;
    assert_eq!(ended["status"], "completed", "{ended}");
    let asked = world.turns_asked();
    assert_eq!(json!(asked[0].messages.last().unwrap().parts), parts);
    let session = id(&accepted, "session_id");
    listed(&server, &session, 2).await;
    let page = server.get(&format!("/v1/sessions/{session}/messages")).await.expect(200);
    assert_eq!(page["data"][0]["parts"], parts);
}
