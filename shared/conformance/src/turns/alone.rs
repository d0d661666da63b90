//! Turns that are to be the only one of their session, and come when another has begun.

use std::time::Duration;

use chrono::{DateTime, Utc};
use parlance_shared::{
    port::turns::{Claim, ClaimOutcome, TurnEnd},
    task::{Status, Task, TaskError, codes},
};
use uuid::Uuid;

use super::harness::{LEASE, Turn, TurnsHarness, claimed, completed};

const MOMENT: Duration = Duration::from_millis(20);

async fn is_too_many(world: &impl TurnsHarness, claim: &Claim, looked_at: DateTime<Utc>) -> bool {
    world.turns().is_too_many(claim, looked_at).await.unwrap()
}

async fn answer(world: &impl TurnsHarness, turn: &Turn) -> (Task, DateTime<Utc>) {
    let claim = claimed(world, turn, "w1").await;
    // A look before the end, by the adapter's clock.
    world.advance(MOMENT).await;
    tokio::time::sleep(MOMENT).await;
    let task = world.turns().finish(&claim, completed("hello"), None).await.unwrap();
    world.advance(MOMENT).await;
    tokio::time::sleep(MOMENT).await;
    let ended = task.timings.finished_at.unwrap();
    (task, ended)
}

fn refused() -> TurnEnd {
    let error = TaskError { code: codes::SESSION_BUSY.to_owned(), message: "Another one.".to_owned(), retryable: true };
    TurnEnd { status: Status::Failed, error: Some(error), ..completed("") }
}

/// What was claimed first, and ended after the look, is one too many for the next one; whichever was accepted first. What had
/// ended before the look, what ran in other sessions, and what was refused itself is not.
pub async fn of_turns_accepted_at_once_the_first_claimed_stays(world: impl TurnsHarness) {
    let first = Turn::new("alice");
    let session = first.request.session_id;
    let (_, ended) = answer(&world, &first).await;
    let (before, after) = (ended - MOMENT / 2, ended + Duration::from_millis(2));

    let mut second = Turn::new("alice").in_session(session);
    second.request.accepted_at -= Duration::from_millis(7);
    let elsewhere = Turn::new("alice");
    let claim = claimed(&world, &second, "w1").await;
    assert!(is_too_many(&world, &claim, before).await, "the first was not over");
    assert!(!is_too_many(&world, &claim, after).await, "it was");
    let other = claimed(&world, &elsewhere, "w1").await;
    assert!(!is_too_many(&world, &other, before).await, "of another session");

    // The same for whoever has it next.
    world.turns().release(&claim).await.unwrap();
    let again = claimed(&world, &second, "w2").await;
    assert!(is_too_many(&world, &again, before).await);
    assert!(!is_too_many(&world, &again, after).await);
    world.advance(LEASE + Duration::from_secs(1)).await;
    let claim = claimed(&world, &second, "w3").await;
    assert!(is_too_many(&world, &claim, before).await);
    world.turns().finish(&claim, refused(), None).await.unwrap();
    world.advance(MOMENT).await;
    tokio::time::sleep(MOMENT).await;

    let third = claimed(&world, &Turn::new("alice").in_session(session), "w1").await;
    assert!(!is_too_many(&world, &third, after).await, "who was refused ran nothing");
    assert!(is_too_many(&world, &third, before).await, "but the first did");
}

/// Who was there first stays, also when its worker was lost and another turn has come meanwhile.
pub async fn a_later_turn_makes_none_too_many(world: impl TurnsHarness) {
    let first = Turn::new("alice");
    let at = first.request.accepted_at;
    let claim = claimed(&world, &first, "w1").await;
    world.advance(MOMENT).await;
    tokio::time::sleep(MOMENT).await;
    // The bus was ahead of the one that was accepted before.
    let mut second = Turn::new("alice").in_session(first.request.session_id);
    second.request.accepted_at -= Duration::from_millis(7);
    let ahead = claimed(&world, &second, "w1").await;
    assert!(is_too_many(&world, &ahead, at).await, "the first runs");
    assert!(!is_too_many(&world, &claim, at).await);
    world.turns().release(&claim).await.unwrap();
    world.turns().finish(&ahead, refused(), None).await.unwrap();
    let claim = claimed(&world, &first, "w2").await;
    assert!(!is_too_many(&world, &claim, at).await);
}

/// What was refused is over: whoever sent it may send it again, an operator may not.
pub async fn a_refused_turn_is_not_reopened(world: impl TurnsHarness) {
    let mut turn = Turn::new("alice");
    let claim = claimed(&world, &turn, "w1").await;
    world.turns().finish(&claim, refused(), None).await.unwrap();
    turn.request.reopen = Some(Uuid::new_v4());
    let outcome = world.turns().claim(&turn.request, &Turn::worker("w1"), LEASE).await.unwrap();
    assert!(matches!(outcome, ClaimOutcome::Ended(task) if task.status == Status::Failed));
}
