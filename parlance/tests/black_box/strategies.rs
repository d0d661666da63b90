//! A message during a reply: it interrupts or is refused; so many may wait.

use std::time::Duration;

use parlance_mock_llm::{Behaviour, Script, expected_reply};
use serde_json::{Value, json};

use crate::support::{Server, World, eventually, reply_of};

const LONG: u32 = 400;
const SHORT: &str = "[[mock tokens=3 delay_ms=1]]";

/// A reply of 20 s, unless the message says otherwise.
fn long() -> Script {
    Script::always(Behaviour::tokens(LONG).with_token_delay(Duration::from_millis(50)))
}

async fn post(server: &Server, session: &str, body: &Value) -> crate::support::Answer {
    server.post(&format!("/v1/sessions/{session}/messages"), body).await
}

fn task_of(accepted: &Value) -> String {
    accepted["task_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_interrupt_cuts_the_reply_off_and_is_answered_next() {
    let world = World::new(long());
    let server = world.start().await;
    let first = server.say(None, "first").await;
    let mut events = server.stream(&first.task, None).await;
    let mut seen = events.until("delta").await;
    let waiting = server.say(Some(&first.session), "never asked").await;
    let body = json!({"content": format!("instead {SHORT}"), "strategy": "interrupt"});
    let next = task_of(&post(&server, &first.session, &body).await.expect(202));
    let after = server.say(Some(&first.session), &format!("after {SHORT}")).await;

    seen.extend(events.rest().await);
    let (kept, end) = (reply_of(&seen), seen.last().unwrap());
    assert_eq!(end.name, "cancelled");
    assert!(!kept.is_empty() && expected_reply("first", LONG).starts_with(&kept), "{kept:?}");
    assert_eq!(server.ended(&first.task).await["reply"]["content"], *kept);
    assert_eq!(server.ended(&waiting.task).await["status"], "cancelled");
    assert_eq!(server.ended(&next).await["status"], "completed");
    assert_eq!(server.ended(&after.task).await["status"], "completed");
    let asked: Vec<_> = world.turns_asked();
    let texts: Vec<&str> = asked.iter().map(|request| request.last_user_text.as_str()).collect();
    assert_eq!(texts, ["first", &format!("instead {SHORT}"), &format!("after {SHORT}")]);
    let known: Vec<&str> = asked[1].messages.iter().map(|message| message.content.as_str()).collect();
    assert_eq!(known, ["first", kept.as_str(), texts[1]], "what was said by then is part of the conversation");
    let messages = eventually("all is in the record", async || {
        Some(server.messages(&first.session).await).filter(|messages| messages.len() == 7)
    })
    .await;
    let stopped: Vec<&str> = messages
        .iter()
        .filter(|(_, _, status)| status == "cancelled")
        .map(|(_, content, _)| content.as_str())
        .collect();
    assert_eq!(stopped.len(), 3, "{messages:?}");
    assert!(["first", kept.as_str(), "never asked"].iter().all(|text| stopped.contains(text)), "{messages:?}");
}

/// The wish outlives the process, as any accepted message does.
#[tokio::test]
async fn an_interrupt_outlives_a_kill() {
    let world = World::new(long());
    let server = world.start().await;
    let first = server.say(None, "first").await;
    server.stream(&first.task, None).await.until("delta").await;
    let body = json!({"content": format!("instead {SHORT}"), "strategy": "interrupt"});
    let next = task_of(&post(&server, &first.session, &body).await.expect(202));
    server.kill();
    let server = world.start().await;
    assert_eq!(server.ended(&first.task).await["status"], "cancelled");
    assert_eq!(server.ended(&next).await["status"], "completed");
}

#[tokio::test]
async fn a_message_is_refused_while_another_is_answered_and_taken_afterwards() {
    let world = World::new(long());
    let server = world.start().await;
    let made = server.post("/v1/sessions", &json!({"strategy": "reject"})).await.expect(201);
    let session = made["id"].as_str().unwrap();
    let first = server.say(Some(session), "first").await;
    post(&server, session, &json!({"content": "no"})).await.problem(409, "session_busy");
    server.stream(&first.task, None).await.until("delta").await;
    post(&server, session, &json!({"content": "no"})).await.problem(409, "session_busy");
    server.cancel(&first.task).await;
    let second = server.say(Some(session), &format!("second {SHORT}")).await;
    assert_eq!(server.ended(&second.task).await["status"], "completed");
}

#[tokio::test]
async fn so_many_messages_may_wait() {
    let world = World::new(long()).with("MAX_QUEUED_PER_SESSION", "3");
    let server = world.start().await;
    let first = server.say(None, "first").await;
    for n in 1..3 {
        server.say(Some(&first.session), &format!("waits {n} {SHORT}")).await;
    }
    let refused = post(&server, &first.session, &json!({"content": "one too many"})).await;
    refused.problem(429, "too_many_queued");
    assert!(refused.header("retry-after").parse::<u32>().is_ok(), "{refused:?}");
    server.say(None, &format!("elsewhere {SHORT}")).await;
    server.cancel(&first.task).await;
    server.say(Some(&first.session), &format!("there is room again {SHORT}")).await;
}
