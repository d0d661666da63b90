//! Messages that are to be answered only if nothing else runs, and that were accepted at once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod support;

use std::time::Duration;

use chrono::DateTime;
use parlance_mock_llm::Script;
use parlance_shared::{
    content::Replaced,
    event::{MessageSubmitted, Strategy},
    port::{bus::BusAdmin as _, turns::Turns as _},
    task::{Status, Task, Usage, codes},
    topology,
};

use crate::support::World;

fn is_refused(task: &Task) -> bool {
    task.status == Status::Failed && task.error.as_ref().is_some_and(|error| error.code == codes::SESSION_BUSY)
}

#[tokio::test]
async fn the_second_is_refused_however_often_it_comes() {
    let world = World::new(Script::default()).await;
    let session = world.session();
    let alone = |content: &str| MessageSubmitted { strategy: Strategy::Reject, ..world.message(session, content) };
    // The later one comes first, as it may where two instances publish.
    let late = alone("late");
    let looked_at = Some(late.accepted_at);
    let early = MessageSubmitted { accepted_at: late.accepted_at - Duration::from_millis(5), ..alone("early") };
    let (late, early) = (MessageSubmitted { looked_at, ..late }, MessageSubmitted { looked_at, ..early });
    world.publish(&late).await;
    world.publish(&early).await;
    let worker = world.start();
    assert_eq!(world.ended(late.task_id).await.status, Status::Completed);
    let refused = world.ended(early.task_id).await;
    assert!(is_refused(&refused), "{refused:?}");
    assert_eq!((refused.usage, refused.details.cost_micro_usd), (Usage::default(), None));
    assert!(refused.error.as_ref().unwrap().retryable, "by whoever sent it");

    world.bus.seek(topology::LLM_WORKER, DateTime::UNIX_EPOCH).await.unwrap();
    let after = world.say(session, "after").await;
    assert_eq!(world.ended(after).await.status, Status::Completed);
    assert_eq!(world.ended(early.task_id).await, refused);
    assert_eq!(world.mock.requests().len(), 2, "the provider was asked for none of it");
    assert_eq!(world.mock.requests()[1].messages.len(), 3, "and is not told of it later");
    assert_eq!(world.dead_letters().await.len(), 0, "there is nothing to do for an operator");
    worker.stop().await;
}

#[tokio::test]
async fn what_comes_when_the_other_one_is_over_is_answered() {
    let world = World::new(Script::default()).await;
    let _worker = world.start();
    let session = world.session();
    let first = world.ended(world.say(session, "first").await).await;
    let mut next = MessageSubmitted { strategy: Strategy::Reject, ..world.message(session, "next") };
    next.looked_at = first.timings.finished_at;
    world.publish(&next).await;
    assert_eq!(world.ended(next.task_id).await.status, Status::Completed);
    let mut behind = MessageSubmitted { strategy: Strategy::Reject, ..world.message(session, "behind") };
    behind.looked_at = first.timings.accepted_at;
    world.publish(&behind).await;
    assert!(is_refused(&world.ended(behind.task_id).await));
}

/// Two that stand in for the same turn: the first one takes its place, and what the second was refused for stays.
#[tokio::test]
async fn of_two_versions_accepted_at_once_the_first_stays() {
    let world = World::new(Script::default()).await;
    let _worker = world.start();
    let session = world.session();
    let first = world.ended(world.say(session, "why?").await).await;
    let replaced = Replaced { task_id: first.id, accepted_at: first.timings.accepted_at.unwrap() };
    let version = || {
        let mut message = world.message(session, "why?");
        message.input.replaces = Some(replaced.clone());
        message.looked_at = first.timings.finished_at;
        message
    };
    let (one, other) = (version(), version());
    world.publish(&one).await;
    world.publish(&other).await;
    assert_eq!(world.ended(one.task_id).await.status, Status::Completed);
    assert!(is_refused(&world.ended(other.task_id).await));
    let window = world.turns.checkpoint(&world.user, session).await.unwrap().checkpoint.window;
    let kept: Vec<_> = window.iter().map(|turn| turn.task_id).collect();
    assert_eq!(kept, [one.task_id]);
}
