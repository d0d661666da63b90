//! A cursor is for ever: every id that a stream hands out resumes exactly, after a restart, and when only the stored
//! reply is left.

use std::time::Duration;

use parlance_mock_llm::{Behaviour, Fault, Script, expected_reply};
use serde_json::Value;

use crate::support::{Accepted, Event, Opened, Server, World, eventually};

const TOKENS: u32 = 40;
const QUESTION: &str = "a reply with letters of many bytes";

/// Breaks once in mid-stream, then replies: a stream with two attempts.
fn broken_then_whole() -> Script {
    let pause = Duration::from_millis(3);
    let broken = Behaviour { fault: Some(Fault::CutMidStream), ..Behaviour::tokens(TOKENS).with_token_delay(pause) };
    Script::in_turn([broken], Behaviour::tokens(TOKENS).with_token_delay(pause))
}

/// What a client has: the attempt it shows, and its text. Applies events as a client does.
#[derive(Clone, Debug, Default, PartialEq)]
struct Shown {
    text: String,
    end: Option<Value>,
}

impl Shown {
    fn apply(&mut self, event: &Event) {
        match event.name.as_str() {
            "delta" => self.text.push_str(event.data["text"].as_str().unwrap()),
            "reset" => self.text.clear(),
            "status" => {}
            _ => self.end = Some(event.data.clone()),
        }
    }
}

/// Resumes from the id of every event that was ever sent and compares what the client then shows with the whole.
async fn resume_everywhere(server: &Server, task: &str, events: &[Event]) {
    let (end, before) = events.split_last().unwrap();
    let mut shown = Shown::default();
    for event in before {
        shown.apply(event);
        let mut resumed = shown.clone();
        let rest = server.stream(task, Some(&event.id)).await.rest().await;
        let mut ids = vec![event.id.clone()];
        for event in &rest {
            resumed.apply(event);
            assert!(!ids.contains(&event.id), "{} came twice after {ids:?}", event.id);
            ids.push(event.id.clone());
        }
        let whole = Shown { text: expected_reply(QUESTION, TOKENS), end: Some(end.data.clone()) };
        assert_eq!(resumed, whole, "after {}", event.id);
        assert_eq!(rest.last().unwrap().id, end.id);
        if event.data["attempt"] == 1 {
            assert_eq!(rest.first().unwrap().name, "reset", "after {} came {rest:?}", event.id);
        }
    }
    assert_eq!(server.try_stream(task, Some(&end.id)).await.err(), Some(204), "nothing follows the end");
    assert_eq!(server.try_stream(task, Some("2-999999")).await.err(), Some(400), "never handed out");
}

/// A reply that was followed to its end, by readers that came at different times.
async fn followed(server: &Server) -> (Accepted, Vec<Event>) {
    let accepted = server.say(None, QUESTION).await;
    let events = server.stream(&accepted.task, None).await.rest().await;
    assert!(events.iter().filter(|event| event.name == "delta").count() > 10, "too few places to resume: {events:?}");
    assert_eq!(events.iter().filter(|event| event.name == "reset").count(), 1);
    assert_eq!(events.last().unwrap().name, "done");
    eventually("the reply is in the record", async || {
        (server.messages(&accepted.session).await.len() == 2).then_some(())
    })
    .await;
    (accepted, events)
}

#[tokio::test]
async fn every_id_resumes_exactly_after_a_restart() {
    let world = World::new(broken_then_whole());
    let server = world.start().await;
    let (accepted, events) = followed(&server).await;
    resume_everywhere(&server, &accepted.task, &events).await;
    server.stop().await;
    let server = world.start().await;
    resume_everywhere(&server, &accepted.task, &events).await;
    server.kill();
    resume_everywhere(&world.start().await, &accepted.task, &events).await;
    assert_eq!(world.mock.requests().len(), 2);
}

#[tokio::test]
async fn every_id_resumes_exactly_from_the_stored_reply_when_the_log_is_gone() {
    let world = World::new(broken_then_whole());
    let server = world.start().await;
    let (accepted, events) = followed(&server).await;
    let task = server.task(&accepted.task).await;
    let messages = server.messages(&accepted.session).await;
    server.stop().await;

    // What a week does.
    let opened = Opened::open(&world.data_dir()).await;
    assert_eq!(opened.turns.expire_replies(Duration::ZERO).await.unwrap(), 1);
    opened.close().await;
    let mut folder = world.folder().await;
    assert_eq!(folder.number("SELECT count(*) FROM turns WHERE reply IS NOT NULL").await, 0);
    assert_eq!(folder.number("SELECT count(*) FROM reply_log").await, 0);

    let server = world.start().await;
    resume_everywhere(&server, &accepted.task, &events).await;
    assert_eq!(server.task(&accepted.task).await, task, "a poll gives less than before");
    assert_eq!(server.ended(&accepted.task).await, task);
    assert_eq!(server.messages(&accepted.session).await, messages);
    // From the beginning, it is told without the attempts that came to nothing.
    let anew = server.stream(&accepted.task, None).await.rest().await;
    assert_eq!(anew.last().unwrap().data, task);
    assert_eq!(world.mock.requests().len(), 2);
}

/// Ids handed out while the reply runs are good at once, on other connections.
#[tokio::test]
async fn an_id_resumes_while_the_reply_still_runs() {
    let world = World::new(Script::always(Behaviour::tokens(TOKENS).with_token_delay(Duration::from_millis(15))));
    let server = world.start().await;
    let accepted = server.say(None, QUESTION).await;
    let mut first = server.stream(&accepted.task, None).await;
    let (mut events, mut others) = (Vec::new(), Vec::new());
    while let Some(event) = first.try_next().await.unwrap() {
        if others.len() < 10 {
            others.push((events.len() + 1, server.stream(&accepted.task, Some(&event.id)).await));
        }
        events.push(event);
    }
    for (seen, mut other) in others {
        let mut shown = Shown::default();
        events[..seen].iter().for_each(|event| shown.apply(event));
        other.rest().await.iter().for_each(|event| shown.apply(event));
        assert_eq!(shown.text, expected_reply(QUESTION, TOKENS));
        assert_eq!(shown.end.as_ref(), events.last().map(|event| &event.data));
    }
}
