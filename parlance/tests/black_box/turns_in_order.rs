//! Turns of a session follow one another, each knowing all before it; sessions do not wait for each other.

use std::time::Duration;

use parlance_mock_llm::{Behaviour, LoggedMessage, Script, expected_reply};
use serde_json::json;

use crate::support::{World, eventually};

const TOKENS: u32 = 20;

fn said(role: &str, content: &str) -> LoggedMessage {
    LoggedMessage::text(role, content)
}

#[tokio::test]
async fn messages_posted_at_once_are_answered_one_after_the_other_and_each_knows_all_before_it() {
    let world = World::new(Script::always(Behaviour::tokens(TOKENS).with_token_delay(Duration::from_millis(20))));
    let server = world.start().await;
    let session = server.post("/v1/sessions", &json!({"instructions": "Be brief."})).await.expect(201);
    let session = session["id"].as_str().unwrap();
    let (one, two, three) = tokio::join!(
        server.say(Some(session), "one"),
        server.say(Some(session), "two"),
        server.say(Some(session), "three")
    );
    // Another session's message comes last and overtakes all that waits.
    let other = server.say(None, "elsewhere [[mock tokens=2 delay_ms=1]]").await;
    assert_eq!(server.ended(&other.task).await["status"], "completed");
    let asked_by_then = world.mock.requests();
    assert!(asked_by_then.len() <= 2, "the other session waited: {asked_by_then:?}");
    for accepted in [&one, &two, &three] {
        assert_eq!(server.ended(&accepted.task).await["status"], "completed");
    }

    let requests: Vec<_> =
        world.mock.requests().into_iter().filter(|request| !request.last_user_text.starts_with("elsewhere")).collect();
    assert_eq!(requests.len(), 3);
    let mut prompt = vec![said("system", "Be brief.")];
    for (n, request) in requests.iter().enumerate() {
        let text = &request.last_user_text;
        prompt.push(said("user", text));
        assert_eq!(request.messages, prompt, "turn {n}");
        prompt.push(said("assistant", &expected_reply(text, TOKENS)));
        if n > 0 {
            assert!(requests[n - 1].ended_ms.unwrap() <= request.started_ms, "turns overlap: {requests:?}");
        }
    }
    let messages = eventually("all is in the record", async || {
        Some(server.messages(session).await).filter(|messages| messages.len() == 6)
    })
    .await;
    assert!(messages.iter().all(|(_, _, status)| status == "completed"), "{messages:?}");
}

#[tokio::test]
async fn the_next_turn_waits_for_an_attempt_that_is_tried_again() {
    let world = World::new(Script::default());
    let server = world.start().await;
    let first = server.say(None, "first [[mock fault=cut_mid_stream times=2 tokens=20]]").await;
    let second = server.say(Some(&first.session), "second").await;
    server.ended(&second.task).await;
    let asked: Vec<_> = world.mock.requests();
    assert_eq!(asked.len(), 4);
    assert!(asked[..3].iter().all(|request| request.last_user_text.starts_with("first")), "{asked:?}");
    let known: Vec<&str> = asked[3].messages.iter().map(|message| message.content.as_str()).collect();
    assert_eq!(known.len(), 3, "a broken attempt's text must not be among them: {known:?}");
    assert_eq!(known[1], expected_reply(&asked[0].last_user_text, 20));
}

/// The checkpoint is what the next turn is built from, also in the next process.
#[tokio::test]
async fn the_conversation_goes_on_after_a_kill() {
    let world = World::new(Script::default());
    let server = world.start().await;
    let first = server.say(None, "before").await;
    server.ended(&first.task).await;
    server.kill();
    let server = world.start().await;
    let second = server.say(Some(&first.session), "after").await;
    server.ended(&second.task).await;
    let requests = world.mock.requests();
    let expected = [said("user", "before"), said("assistant", &expected_reply("before", 20)), said("user", "after")];
    assert_eq!(requests.last().unwrap().messages, expected);
}
