//! A message that takes the place of all that runs or waits in its session.

use std::time::Duration;

use chrono::{DateTime, Utc};
use parlance_shared::{
    TaskId,
    id::PrefixedId as _,
    port::turns::{ClaimOutcome, TurnEnd},
    task::{Status, TaskError},
};
use uuid::Uuid;

use super::harness::{LEASE, Turn, TurnsHarness, claimed, completed};

fn later(turn: &Turn, millis: u64) -> Turn {
    let mut next = Turn::new(turn.request.user_id.as_str()).in_session(turn.request.session_id);
    next.request.accepted_at = turn.request.accepted_at + Duration::from_millis(millis);
    next
}

async fn interrupt(world: &impl TurnsHarness, by: &Turn) -> DateTime<Utc> {
    let request = &by.request;
    let turns = world.turns();
    turns.interrupt(&request.user_id, request.session_id, request.task_id, request.accepted_at).await.unwrap()
}

/// The turn that runs is told, what it had said is kept, and its place is the interrupting one's.
pub async fn an_interrupt_reaches_the_turn_that_runs(world: impl TurnsHarness) {
    let running = Turn::new("alice");
    let elsewhere = Turn::new("alice");
    let claim = claimed(&world, &running, "w1").await;
    let other = claimed(&world, &elsewhere, "w1").await;
    world.log().writer(&claim).await.unwrap().append("half of").await.unwrap();
    let next = later(&running, 5);
    assert_eq!(interrupt(&world, &next).await, next.request.accepted_at);
    tokio::time::timeout(Duration::from_secs(5), claim.cancelled.cancelled()).await.unwrap();
    assert!(!other.cancelled.is_cancelled(), "another session's");
    let end = TurnEnd { status: Status::Cancelled, ..completed("half of") };
    let task = world.turns().finish(&claim, end, None).await.unwrap();
    assert_eq!((task.status, task.reply.content.as_str()), (Status::Cancelled, "half of"));
    let claim = claimed(&world, &next, "w1").await;
    assert!(!claim.cancel_requested && !claim.cancelled.is_cancelled());
    world.turns().heartbeat(std::slice::from_ref(&claim), LEASE).await.unwrap();
    assert!(!claim.cancelled.is_cancelled());
}

/// Turns that no worker had heard of end as cancelled when they come to one; the interrupting one and later ones do not,
/// whatever crashed in between.
pub async fn an_interrupt_reaches_turns_that_wait(world: impl TurnsHarness) {
    let first = Turn::new("alice");
    let (second, next) = (later(&first, 1), later(&first, 2));
    let last = later(&next, 1);
    interrupt(&world, &next).await;
    let world = world.restart().await;
    for (turn, stops) in [(&first, true), (&second, true), (&next, false), (&last, false)] {
        let claim = claimed(&world, turn, "w1").await;
        assert_eq!(claim.cancel_requested, stops, "{:?}", turn.request.accepted_at);
        let status = if stops { Status::Cancelled } else { Status::Completed };
        world.turns().finish(&claim, TurnEnd { status, ..completed("") }, None).await.unwrap();
    }
}

/// A turn whose worker is lost after the interrupt is stopped by the next one.
pub async fn an_interrupt_outlives_the_worker(world: impl TurnsHarness) {
    let running = Turn::new("alice");
    claimed(&world, &running, "w1").await;
    interrupt(&world, &later(&running, 1)).await;
    let world = world.restart().await;
    world.advance(LEASE + Duration::from_secs(1)).await;
    let claim = claimed(&world, &running, "w2").await;
    assert!(claim.cancel_requested);
    world.turns().release(&claim).await.unwrap();
    assert!(claimed(&world, &running, "w3").await.cancel_requested, "and by the one after");
}

/// The same interrupt again, with a later time as a message has that is sent again, stops nothing more; an earlier one that
/// comes late takes nothing back.
pub async fn an_interrupt_counts_once(world: impl TurnsHarness) {
    let running = Turn::new("alice");
    let next = later(&running, 10);
    let first = interrupt(&world, &next).await;
    let mut repeated = later(&running, 50);
    repeated.request.task_id = next.request.task_id;
    assert_eq!(interrupt(&world, &repeated).await, first, "the time of the first");
    assert!(!claimed(&world, &next, "w1").await.cancel_requested, "it does not stop itself");

    let other = Turn::new("alice");
    let (late, early) = (later(&other, 20), later(&other, 10));
    interrupt(&world, &late).await;
    // By a clock that is behind: it takes the place after all that was stopped.
    assert_eq!(interrupt(&world, &early).await, late.request.accepted_at);
    assert!(claimed(&world, &later(&other, 15), "w1").await.cancel_requested);
}

/// A failed task that an operator has answered anew is not stopped by what interrupted the session long ago, but by what
/// interrupts it now.
pub async fn an_interrupt_leaves_reopened_turns_alone(world: impl TurnsHarness) {
    let mut failed = Turn::new("alice");
    let claim = claimed(&world, &failed, "w1").await;
    let error = TaskError { code: "provider_error".to_owned(), message: "It failed.".to_owned(), retryable: true };
    let end = TurnEnd { status: Status::Failed, error: Some(error), ..completed("") };
    world.turns().finish(&claim, end, None).await.unwrap();
    let next = later(&failed, 5);
    interrupt(&world, &next).await;
    let outcome = world.turns().claim(&failed.request, &Turn::worker("w1"), LEASE).await.unwrap();
    assert!(matches!(outcome, ClaimOutcome::Ended(task) if task.status == Status::Failed), "an end is final");

    failed.request.reopen = Some(Uuid::new_v4());
    let claim = claimed(&world, &failed, "w1").await;
    assert!(!claim.cancel_requested);
    world.turns().heartbeat(std::slice::from_ref(&claim), LEASE).await.unwrap();
    assert!(!claim.cancelled.is_cancelled());
    world.turns().release(&claim).await.unwrap();
    let claim = claimed(&world, &failed, "w2").await;
    assert!(!claim.cancel_requested);
    interrupt(&world, &later(&failed, 9)).await;
    tokio::time::timeout(Duration::from_secs(5), claim.cancelled.cancelled()).await.unwrap();
}

/// Another user stops nothing.
pub async fn an_interrupt_is_the_owners(world: impl TurnsHarness) {
    let running = Turn::new("alice");
    let claim = claimed(&world, &running, "w1").await;
    let (session, at) = (running.request.session_id, running.request.accepted_at + Duration::from_secs(1));
    let eve = parlance_shared::UserId::new("eve");
    let by = TaskId::from_uuid(Uuid::now_v7());
    world.turns().interrupt(&eve, session, by, at).await.unwrap();
    world.turns().heartbeat(std::slice::from_ref(&claim), LEASE).await.unwrap();
    assert!(!claim.cancelled.is_cancelled());
}
