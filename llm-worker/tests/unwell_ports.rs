//! A database, a bus and code of ours that fail at the worst moment, the end of a turn: one end and one announcement.

mod support;

use std::sync::Arc;

use parlance_conformance::faulty::{Faults, FaultyBus, FaultyTurns, panicking, rejected, unavailable};
use parlance_mock_llm::{Behaviour, Fault, Script, expected_reply};
use parlance_shared::{
    port::turns::Turns as _,
    task::{Status, codes},
};

use crate::support::{World, run};

#[tokio::test]
async fn an_end_that_could_not_be_announced_at_once_is_announced() {
    let world = World::new(Script::default()).await;
    let mut parts = world.parts("w1");
    parts.bus = Arc::new(FaultyBus::new(parts.bus, Faults::first(2, unavailable)));
    let _worker = run(parts);
    let task = world.say(world.session(), "heard?").await;
    let ended = world.ended(task).await;
    assert_eq!(world.published(1).await[0].1.task, ended);
    assert_eq!(world.metrics.bus_retries.get("llm-worker"), 0, "the message came again");
}

#[tokio::test]
async fn a_worker_that_dies_between_the_end_and_its_announcement_costs_no_second_reply() {
    let world = World::new(Script::default()).await;
    let mut parts = world.parts("w1");
    parts.bus = Arc::new(FaultyBus::new(parts.bus, Faults::first(2, panicking)));
    let worker = run(parts);
    let session = world.session();
    let task = world.say(session, "heard?").await;
    let ended = world.ended(task).await;
    assert_eq!((ended.status, ended.attempt), (Status::Completed, 1));
    assert_eq!(world.published(1).await[0].1.task, ended);
    worker.stop().await;
    assert_eq!(world.metrics.bus_retries.get("llm-worker"), 2);
    assert_eq!(world.mock.requests().len(), 1, "the provider was asked again");
    assert_eq!(world.metrics.tasks_ended.get("completed"), 1);
    assert_eq!(world.dead_letters().await.len(), 0);
}

#[tokio::test]
async fn a_failure_reaches_the_dead_letters_though_its_worker_died() {
    let world = World::new(Script::always(Behaviour::fault(Fault::Http400))).await;
    let mut parts = world.parts("w1");
    parts.bus = Arc::new(FaultyBus::new(parts.bus, Faults::first(1, panicking)));
    let _worker = run(parts);
    let task = world.say(world.session(), "bad").await;
    assert_eq!(world.ended(task).await.status, Status::Failed);
    assert_eq!(world.dead_letter().await.reason.code, "provider_rejected");
    assert_eq!(world.published(1).await[0].1.task.status, Status::Failed);
    assert_eq!(world.mock.requests().len(), 1);
}

#[tokio::test]
async fn an_end_is_stored_as_soon_as_the_database_is_back() {
    let world = World::new(Script::always(Behaviour::tokens(20))).await;
    let mut parts = world.parts("w1");
    parts.turns = Arc::new(FaultyTurns::new(parts.turns, Faults::first(4, unavailable)));
    let _worker = run(parts);
    let task = world.say(world.session(), "patience").await;
    let ended = world.ended(task).await;
    assert_eq!((ended.status, ended.attempt), (Status::Completed, 1));
    assert_eq!(ended.reply.content, expected_reply("patience", 20));
    assert_eq!(world.mock.requests().len(), 1);
}

#[tokio::test]
async fn an_end_that_can_never_be_stored_fails_the_task_and_keeps_its_text() {
    let world = World::new(Script::always(Behaviour::tokens(20))).await;
    let mut parts = world.parts("w1");
    parts.turns = Arc::new(FaultyTurns::new(parts.turns, Faults::first(1, rejected)));
    let _worker = run(parts);
    let session = world.session();
    let task = world.say(session, "unlucky").await;
    let ended = world.ended(task).await;
    assert_eq!((ended.status, ended.reply.content), (Status::Failed, expected_reply("unlucky", 20)));
    assert_eq!(ended.error.unwrap().code, codes::INTERNAL);
    assert_eq!(world.dead_letter().await.reason.code, codes::INTERNAL);
    assert!(world.turns.checkpoint(&world.user, session).await.unwrap().checkpoint.window.is_empty());
}
