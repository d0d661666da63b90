//! Cancelling at any time.

mod support;

use std::time::Duration;

use parlance_mock_llm::{Behaviour, Fault, Script};
use parlance_shared::{
    port::turns::{CancelOutcome, Turns as _},
    task::Status,
};

use crate::support::{PATIENCE, World, eventually};

fn slow() -> Script {
    Script::always(Behaviour::tokens(10_000).with_token_delay(Duration::from_millis(2)))
}

#[tokio::test]
async fn before_the_work_starts() {
    let world = World::new(Script::default()).await;
    let session = world.session();
    let task = world.say(session, "never mind").await;
    let CancelOutcome::Ended(cancelled) = world.turns.request_cancel(&world.user, task).await.unwrap() else {
        panic!("a task that no worker has is cancelled at once");
    };
    assert_eq!(cancelled.status, Status::Cancelled);
    let _worker = world.start();
    let published = world.published(1).await;
    assert_eq!((published[0].1.task.id, published[0].1.task.status), (task, Status::Cancelled));
    assert_eq!(published[0].1.session_id, session);
    assert!(world.mock.requests().is_empty(), "the provider was asked");
    assert_eq!(world.dead_letters().await.len(), 0);
}

#[tokio::test]
async fn mid_stream_the_request_is_dropped_and_the_text_kept() {
    let world = World::new(slow()).await;
    let _worker = world.start();
    let session = world.session();
    let task = world.say(session, "go on").await;
    let seen = world.spoken(task, 60).await;

    let asked_ms = world.mock.now_ms();
    let outcome = world.turns.request_cancel(&world.user, task).await.unwrap();
    assert_eq!(outcome, CancelOutcome::Requested);
    let log = world.mock.wait_for(PATIENCE, |log| log[0].disconnected_ms.is_some()).await;
    let dropped_ms = log[0].disconnected_ms.expect("the request goes on") - asked_ms;
    assert!(dropped_ms <= 100, "dropped after {dropped_ms} ms");

    let ended = world.ended(task).await;
    assert_eq!((ended.status, ended.error.clone()), (Status::Cancelled, None));
    assert!(ended.reply.content.starts_with(&seen));
    assert_eq!(world.published(1).await[0].1.task, ended);
    let window = world.turns.checkpoint(&world.user, session).await.unwrap().checkpoint.window;
    assert_eq!((window.len(), &window[0].assistant), (1, &ended.reply.content));
    assert_eq!(world.dead_letters().await.len(), 0);
}

#[tokio::test]
async fn while_waiting_for_the_next_attempt() {
    let limited = Behaviour { retry_after: Some("30".to_owned()), ..Behaviour::fault(Fault::Http429) };
    let world = World::new(Script::always(limited)).await;
    let _worker = world.start();
    let task = world.say(world.session(), "wait").await;
    world.mock.wait_for(PATIENCE, |log| log.first().is_some_and(|request| request.ended_ms.is_some())).await;
    let outcome = world.turns.request_cancel(&world.user, task).await.unwrap();
    assert_eq!(outcome, CancelOutcome::Requested);
    let ended =
        tokio::time::timeout(Duration::from_secs(5), world.ended(task)).await.expect("it waits for the provider");
    assert_eq!((ended.status, ended.attempt), (Status::Cancelled, 1));
}

#[tokio::test]
async fn after_the_end_nothing_changes() {
    let world = World::new(Script::default()).await;
    let _worker = world.start();
    let task = world.say(world.session(), "done").await;
    let ended = world.ended(task).await;
    let outcome = world.turns.request_cancel(&world.user, task).await.unwrap();
    assert_eq!(outcome, CancelOutcome::Ended(Box::new(ended.clone())));
    assert_eq!(world.ended(task).await, ended);
}

#[tokio::test]
async fn between_two_workers_what_was_said_is_kept() {
    let world = World::new(slow()).await;
    let worker = world.start();
    let task = world.say(world.session(), "go on").await;
    let seen = world.spoken(task, 60).await;
    worker.abort().await;
    eventually("the claim is handed back", async || (world.mock.requests()[0].disconnected_ms).map(|_| ())).await;
    let outcome = world.turns.request_cancel(&world.user, task).await.unwrap();
    assert_eq!(outcome, CancelOutcome::Requested);

    let _next = world.start();
    let ended = world.ended(task).await;
    assert_eq!((ended.status, ended.attempt), (Status::Cancelled, 2));
    assert!(ended.reply.content.starts_with(&seen), "{:?} does not start with {seen:?}", ended.reply.content);
    assert_eq!(world.mock.requests().len(), 1);
}
