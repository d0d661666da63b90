//! Strategies and branches with the services apart: two instances of the API, a worker, and the record.

use std::time::Duration;

use parlance_mock_llm::{Behaviour, Script, expected_reply, expected_varied_reply};
use serde_json::{Value, json};

use crate::support::{Service, World, eventually, reply_of};

const LONG: u32 = 400;
const TOKENS: u32 = 20;
const SHORT: &str = "[[mock tokens=3 delay_ms=1]]";

fn id(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap().to_owned()
}

async fn post(api: &Service, session: &str, body: &Value) -> crate::support::Answer {
    api.post(&format!("/v1/sessions/{session}/messages"), body).await
}

fn prompts(world: &World) -> Vec<Vec<String>> {
    let turns = world.mock.requests().into_iter().filter(|request| request.purpose.is_none());
    turns.map(|request| request.messages.into_iter().map(|message| message.content).collect()).collect()
}

#[tokio::test]
async fn an_interrupt_at_another_instance_cuts_the_reply_off() {
    let long = Script::always(Behaviour::tokens(LONG).with_token_delay(Duration::from_millis(50)));
    let Some(world) = World::new(long).await else { return };
    let ((a, _worker, _persist), b) = tokio::join!(world.all(), world.ingest());
    let first = a.say(None, "first").await;
    let mut events = a.stream(&first.task, None).await;
    let mut seen = events.until("delta").await;
    let waiting = a.say(Some(&first.session), "never asked").await;
    eventually("it is recorded", async || (a.messages(&first.session).await.len() == 2).then_some(())).await;

    let refused = post(&b, &first.session, &json!({"content": "no", "strategy": "reject"})).await.expect(409);
    assert_eq!(refused["code"], "session_busy");
    let body = json!({"content": format!("instead {SHORT}"), "strategy": "interrupt"});
    let next = id(&post(&b, &first.session, &body).await.expect(202), "task_id");
    seen.extend(events.rest().await);
    let kept = reply_of(&seen);
    assert_eq!(seen.last().unwrap().name, "cancelled");
    assert!(!kept.is_empty() && expected_reply("first", LONG).starts_with(&kept), "{kept:?}");
    assert_eq!(b.ended(&waiting.task).await["status"], "cancelled");
    a.completed(&next).await;
    let expected = [vec!["first".to_owned()], vec!["first".to_owned(), kept, format!("instead {SHORT}")]];
    assert_eq!(prompts(&world), expected);
}

#[tokio::test]
async fn so_many_messages_may_wait_whichever_instance_takes_them() {
    let long = Script::always(Behaviour::tokens(LONG).with_token_delay(Duration::from_millis(50)));
    let Some(world) = World::new(long).await else { return };
    let world = world.with("MAX_QUEUED_PER_SESSION", "2");
    let ((a, _worker, _persist), b) = tokio::join!(world.all(), world.ingest());
    let first = a.say(None, "first").await;
    a.say(Some(&first.session), &format!("second {SHORT}")).await;
    eventually("both are recorded", async || (a.messages(&first.session).await.len() == 2).then_some(())).await;
    for api in [&a, &b] {
        let refused = api.try_say(Some(&first.session), "third").await;
        assert!(refused.header("retry-after").parse::<u32>().is_ok(), "{refused:?}");
        assert_eq!(refused.expect(429)["code"], "too_many_queued");
    }
}

#[tokio::test]
async fn a_reply_is_given_anew_and_a_message_edited() {
    let Some(world) = World::new(Script::default()).await else { return };
    let ((a, _worker, _persist), b) = tokio::join!(world.all(), world.ingest());
    let first = a.say(None, "hello").await;
    let first_message = id(&a.completed(&first.task).await, "message_id");
    let question = "why? [[mock vary=1]]";
    let second = a.say(Some(&first.session), question).await;
    let earlier = a.completed(&second.task).await;
    // At once: the record may be behind.
    let again = b.post(&format!("/v1/tasks/{}/retry", second.task), &json!({})).await.expect(202);
    b.completed(&id(&again, "task_id")).await;
    let (greeting, anew) = (expected_reply("hello", TOKENS), expected_varied_reply(question, 1, TOKENS));
    assert_eq!(prompts(&world)[2], ["hello", greeting.as_str(), question], "the earlier reply is not in it");
    assert_eq!(a.recorded(&first.session, 4).await, ["hello", greeting.as_str(), question, anew.as_str()]);
    assert_eq!(a.task(&second.task).await, earlier);

    let parts = json!([
        {"type": "text", "text": "hi"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8="}},
    ]);
    let body = json!({"content": parts, "edits": first_message});
    let edited = post(&b, &first.session, &body).await.expect(202);
    a.completed(&id(&edited, "task_id")).await;
    let asked = world.mock.requests().into_iter().rfind(|request| request.purpose.is_none()).unwrap();
    assert_eq!(asked.messages.len(), 1, "nothing was said before it");
    assert_eq!(json!(asked.messages[0].parts), parts);
    assert_eq!(a.recorded(&first.session, 2).await, ["hi", expected_reply("hi", TOKENS).as_str()]);
    let all = a.get(&format!("/v1/sessions/{}/messages?branch=all", first.session)).await.expect(200);
    assert_eq!(all["data"].as_array().unwrap().len(), 8);
}

/// With the database away what waits its turn is accepted; the rest is told to come again.
#[tokio::test]
async fn what_can_not_be_judged_is_not_accepted() {
    let Some(world) = World::new(Script::default()).await else { return };
    let (api, _worker, _persist) = world.all().await;
    let first = api.say(None, "first").await;
    api.completed(&first.task).await;
    world.to_database.refuse();
    for strategy in ["interrupt", "reject"] {
        post(&api, &first.session, &json!({"content": "a", "strategy": strategy})).await.come_again();
    }
    let waits = post(&api, &first.session, &json!({"content": "b", "strategy": "enqueue"})).await.expect(202);
    world.to_database.heal();
    api.completed(&id(&waits, "task_id")).await;
}
