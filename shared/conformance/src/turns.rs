//! What every adapter of the turns and reply log ports keeps: claims, fences, ends, cancels, checkpoints, cursors.

mod alone;
mod deletion;
mod harness;
mod interrupts;
mod log;
mod reopen;
mod spent;

use std::time::Duration;

use parlance_shared::{
    port::turns::{CancelOutcome, ClaimError, ClaimOutcome, EARLIER_TURN, VersionedCheckpoint},
    task::Status,
};

pub use alone::*;
pub use deletion::*;
pub use harness::TurnsHarness;
pub use interrupts::*;
pub use log::*;
pub use reopen::*;
pub use spent::*;

use harness::{LEASE, Turn, claimed, completed, with_window};

/// The first claim is attempt 1; while its lease is good nobody else gets the task.
pub async fn one_claim_at_a_time(world: impl TurnsHarness) {
    let turn = Turn::new("alice");
    let first = claimed(&world, &turn, "w1").await;
    assert_eq!(first.attempt, 1);
    assert!(!first.cancel_requested);
    for worker in ["w1", "w2"] {
        let outcome = world.turns().claim(&turn.request, &Turn::worker(worker), LEASE).await.unwrap();
        assert!(matches!(outcome, ClaimOutcome::HeldUntil(_)), "{outcome:?}");
    }
    assert_eq!(world.turns().active().await.unwrap(), 1);
}

/// Of many workers that ask at once, one gets it.
pub async fn racing_claims_have_one_winner(world: impl TurnsHarness) {
    let turn = Turn::new("alice");
    let workers: Vec<_> = (0..16).map(|n| Turn::worker(&format!("w{n}"))).collect();
    let turns = world.turns();
    let asked = workers.iter().map(|worker| turns.claim(&turn.request, worker, LEASE));
    let outcomes = futures_util::future::join_all(asked).await;
    let won = outcomes.iter().filter(|outcome| matches!(outcome, Ok(ClaimOutcome::Claimed(_)))).count();
    assert_eq!(won, 1);
}

/// A turn waits for the earlier ones of its session that have begun: while one is worked on, after its worker died or
/// handed it back, but not for good.
pub async fn a_turn_waits_for_the_one_before(world: impl TurnsHarness) {
    let one = Turn::new("alice");
    let two = Turn::new("alice").in_session(one.request.session_id);
    let turns = world.turns();
    let ask = async || turns.claim(&two.request, &Turn::worker("w2"), LEASE).await.unwrap();
    let waits = |outcome: &ClaimOutcome| matches!(outcome, ClaimOutcome::NotYet);

    claimed(&world, &one, "w1").await;
    assert!(waits(&ask().await), "it is worked on");
    claimed(&world, &Turn::new("alice"), "w2").await;
    world.advance(LEASE + Duration::from_secs(1)).await;
    assert!(waits(&ask().await), "its worker died");
    let handed_back = claimed(&world, &one, "w3").await;
    turns.release(&handed_back).await.unwrap();
    assert!(waits(&ask().await), "it was handed back");
    let last = claimed(&world, &one, "w3").await;
    turns.finish(&last, completed("hello"), None).await.unwrap();
    let second = claimed(&world, &two, "w2").await;
    assert!(matches!(turns.claim(&one.request, &Turn::worker("w1"), LEASE).await, Ok(ClaimOutcome::Ended(_))));

    // A later one that has begun keeps no earlier one waiting, and a message that is gone no session.
    let mut zero = Turn::new("alice").in_session(one.request.session_id);
    zero.request.accepted_at -= LEASE;
    claimed(&world, &zero, "w1").await;
    turns.release(&second).await.unwrap();
    assert!(waits(&ask().await), "also who had begun before");
    world.advance(LEASE + EARLIER_TURN + Duration::from_secs(1)).await;
    claimed(&world, &two, "w2").await;
}

/// A lease that runs out passes the task on under the next attempt; the first worker is fenced from then on.
pub async fn a_lost_lease_is_fenced(world: impl TurnsHarness) {
    let turn = Turn::new("alice");
    let first = claimed(&world, &turn, "w1").await;
    let mut writer = world.log().writer(&first).await.unwrap();
    writer.append("from the first").await.unwrap();
    world.advance(LEASE + Duration::from_secs(1)).await;
    let second = claimed(&world, &turn, "w2").await;
    assert_eq!((second.attempt, second.lost_attempts), (2, 1));

    assert!(writer.append("too late").await.is_err());
    assert!(world.log().writer(&first).await.is_err());
    let end = completed("from the first");
    assert!(matches!(world.turns().finish(&first, end, None).await, Err(ClaimError::Fenced)));
    assert!(matches!(world.turns().next_attempt(&first, "x").await, Err(ClaimError::Fenced)));
    world.turns().release(&first).await.unwrap();
    assert!(!second.lost.is_cancelled());
    world.turns().heartbeat(&[first.clone(), second.clone()], LEASE).await.unwrap();
    assert!(first.lost.is_cancelled(), "the heartbeat tells the loser");
    assert!(!second.lost.is_cancelled());

    let task = world.turns().finish(&second, completed("from the second"), None).await.unwrap();
    assert_eq!((task.status, task.attempt, task.reply.content.as_str()), (Status::Completed, 2, "from the second"));
}

/// Heartbeats keep a claim beyond its first lease.
pub async fn a_heartbeat_keeps_the_claim(world: impl TurnsHarness) {
    let turn = Turn::new("alice");
    let claim = claimed(&world, &turn, "w1").await;
    for _ in 0..3 {
        world.advance(LEASE / 2 + Duration::from_millis(1)).await;
        world.turns().heartbeat(std::slice::from_ref(&claim), LEASE).await.unwrap();
        let other = world.turns().claim(&turn.request, &Turn::worker("w2"), LEASE).await.unwrap();
        assert!(matches!(other, ClaimOutcome::HeldUntil(_)), "{other:?}");
    }
    assert!(!claim.lost.is_cancelled());
}

/// A claim that is handed back is free at once and not counted as lost.
pub async fn a_released_claim_is_free_at_once(world: impl TurnsHarness) {
    let turn = Turn::new("alice");
    let first = claimed(&world, &turn, "w1").await;
    assert_eq!(world.turns().active().await.unwrap(), 1);
    world.turns().release(&first).await.unwrap();
    assert_eq!(world.turns().active().await.unwrap(), 0);
    assert!(world.log().writer(&first).await.is_err(), "it is no longer ours");
    let second = claimed(&world, &turn, "w2").await;
    assert_eq!((second.attempt, second.lost_attempts), (2, 0));
}

/// A killed process' claims are free after its restart, its stored text is known, and it counts as lost.
pub async fn a_crash_frees_claims_and_keeps_what_ended(world: impl TurnsHarness) {
    let (running, ended) = (Turn::new("alice"), Turn::new("alice"));
    claimed(&world, &running, "w1").await;
    let claim = claimed(&world, &ended, "w1").await;
    world.log().writer(&claim).await.unwrap().append("kept").await.unwrap();
    let saved = VersionedCheckpoint { version: 0, checkpoint: with_window(&ended, "kept") };
    let task = world.turns().finish(&claim, completed("kept"), Some(saved)).await.unwrap();

    let world = world.restart().await;
    world.advance(LEASE + Duration::from_secs(1)).await;
    let again = claimed(&world, &running, "w2").await;
    assert_eq!((again.attempt, again.lost_attempts), (2, 1));
    let outcome = world.turns().claim(&ended.request, &Turn::worker("w2"), LEASE).await.unwrap();
    assert!(matches!(outcome, ClaimOutcome::Ended(found) if *found == task));
    let checkpoint = world.turns().checkpoint(&ended.request.user_id, ended.request.session_id).await.unwrap();
    assert_eq!((checkpoint.version, checkpoint.checkpoint), (1, with_window(&ended, "kept")));
}

/// Retrying under the same hold gives the next number, counts the failure, and fences the earlier attempt's writer.
pub async fn the_next_attempt_fences_the_one_before(world: impl TurnsHarness) {
    let turn = Turn::new("alice");
    let first = claimed(&world, &turn, "w1").await;
    let mut writer = world.log().writer(&first).await.unwrap();
    writer.append("half").await.unwrap();
    let second = world.turns().next_attempt(&first, "provider_unavailable").await.unwrap();
    assert_eq!((second.attempt, second.failed_attempts, second.lost_attempts), (2, 1, 0));
    assert!(writer.append("more").await.is_err());
    let mut writer = world.log().writer(&second).await.unwrap();
    writer.append("whole").await.unwrap();
    assert_eq!(writer.text(), "whole");
    assert!(matches!(world.turns().finish(&first, completed("half"), None).await, Err(ClaimError::Fenced)));
    world.turns().finish(&second, completed("whole"), None).await.unwrap();
}

/// A task that has ended stays as it ended, however often it is asked for.
pub async fn an_end_is_final(world: impl TurnsHarness) {
    let turn = Turn::new("alice");
    let claim = claimed(&world, &turn, "w1").await;
    let task = world.turns().finish(&claim, completed("done"), None).await.unwrap();
    assert_eq!(task.session_id, Some(turn.request.session_id));
    assert_eq!(task.message_id, Some(turn.request.message_id));
    assert_eq!(task.reply.message_id, Some(turn.request.reply_message_id));
    assert!(task.timings.total_ms.is_some());
    assert!(matches!(world.turns().finish(&claim, completed("again"), None).await, Err(ClaimError::Fenced)));
    let outcome = world.turns().request_cancel(&turn.request.user_id, turn.request.task_id).await.unwrap();
    assert!(matches!(outcome, CancelOutcome::Ended(found) if *found == task));
    for _ in 0..3 {
        let outcome = world.turns().claim(&turn.request, &Turn::worker("w2"), LEASE).await.unwrap();
        assert!(matches!(outcome, ClaimOutcome::Ended(found) if *found == task));
    }
    assert_eq!(world.turns().active().await.unwrap(), 0);
}

/// A cancel before any worker had the task ends it; the worker that gets it later finds it so, with its session known.
pub async fn a_cancel_before_the_work_ends_it(world: impl TurnsHarness) {
    let turn = Turn::new("alice");
    let (user, id) = (&turn.request.user_id, turn.request.task_id);
    for _ in 0..2 {
        let outcome = world.turns().request_cancel(user, id).await.unwrap();
        assert!(matches!(outcome, CancelOutcome::Ended(task) if task.status == Status::Cancelled && task.attempt == 0));
    }
    let world = world.restart().await;
    let outcome = world.turns().claim(&turn.request, &Turn::worker("w1"), LEASE).await.unwrap();
    let ClaimOutcome::Ended(task) = outcome else { panic!("{outcome:?}") };
    assert_eq!((task.status, task.session_id), (Status::Cancelled, Some(turn.request.session_id)));
    assert_eq!(task.timings.accepted_at, Some(turn.request.accepted_at));
}

/// A cancel while a worker has the task tells that worker, in this attempt and the next, and outlives a crash.
pub async fn a_cancel_reaches_the_worker_and_outlives_it(world: impl TurnsHarness) {
    let turn = Turn::new("alice");
    let (user, id) = (turn.request.user_id.clone(), turn.request.task_id);
    let claim = claimed(&world, &turn, "w1").await;
    world.log().writer(&claim).await.unwrap().append("said").await.unwrap();
    assert_eq!(world.turns().request_cancel(&user, id).await.unwrap(), CancelOutcome::Requested);
    tokio::time::timeout(Duration::from_secs(5), claim.cancelled.cancelled()).await.unwrap();
    let next = world.turns().next_attempt(&claim, "provider_unavailable").await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), next.cancelled.cancelled()).await.unwrap();
    assert_eq!(world.turns().request_cancel(&user, id).await.unwrap(), CancelOutcome::Requested);

    let world = world.restart().await;
    world.advance(LEASE + Duration::from_secs(1)).await;
    assert!(claimed(&world, &turn, "w2").await.cancel_requested);
}

/// What was said before a hand-over is there for the worker that must end the task as cancelled.
pub async fn earlier_text_is_handed_on(world: impl TurnsHarness) {
    let turn = Turn::new("alice");
    let claim = claimed(&world, &turn, "w1").await;
    world.log().writer(&claim).await.unwrap().append("as far as it came").await.unwrap();
    world.turns().release(&claim).await.unwrap();
    let world = world.restart().await;
    let silent = claimed(&world, &turn, "w2").await;
    assert_eq!(silent.earlier_text, "as far as it came");
    world.turns().release(&silent).await.unwrap();
    assert_eq!(
        claimed(&world, &turn, "w3").await.earlier_text,
        "as far as it came",
        "an attempt that said nothing hides it"
    );
}

/// Checkpoints move by compare-and-swap; a stale one leaves everything as it was, the end included.
pub async fn checkpoints_are_compared_and_swapped(world: impl TurnsHarness) {
    let turn = Turn::new("alice");
    let (user, session) = (turn.request.user_id.clone(), turn.request.session_id);
    let turns = world.turns();
    assert_eq!(turns.checkpoint(&user, session).await.unwrap(), VersionedCheckpoint::default());
    let at = |version| VersionedCheckpoint { version, checkpoint: with_window(&turn, "v") };
    turns.save_checkpoint(&user, session, at(0)).await.unwrap();
    assert_eq!(turns.checkpoint(&user, session).await.unwrap().version, 1);
    assert!(matches!(turns.save_checkpoint(&user, session, at(0)).await, Err(ClaimError::StaleCheckpoint)));

    let claim = claimed(&world, &turn, "w1").await;
    let stale = turns.finish(&claim, completed("x"), Some(at(0))).await;
    assert!(matches!(stale, Err(ClaimError::StaleCheckpoint)), "{stale:?}");
    let view = turns.task(&user, turn.request.task_id).await.unwrap().unwrap();
    assert_eq!(view.task.status, Status::Running, "nothing was stored");
    turns.finish(&claim, completed("x"), Some(at(1))).await.unwrap();
    assert_eq!(turns.checkpoint(&user, session).await.unwrap().version, 2);
}

/// Another user's task and checkpoint are as if they were not there, to read and to cancel.
pub async fn tenants_are_apart(world: impl TurnsHarness) {
    let turn = Turn::new("alice");
    let eve = parlance_shared::UserId::new("eve");
    let (id, session) = (turn.request.task_id, turn.request.session_id);
    let claim = claimed(&world, &turn, "w1").await;
    let turns = world.turns();
    assert!(turns.task(&eve, id).await.unwrap().is_none());
    assert_eq!(turns.request_cancel(&eve, id).await.unwrap(), CancelOutcome::UnknownTask);
    assert!(!claim.cancelled.is_cancelled());
    assert!(world.log().follow(&eve, id, None).await.is_err());
    let saved = VersionedCheckpoint { version: 0, checkpoint: with_window(&turn, "secret") };
    turns.finish(&claim, completed("secret"), Some(saved)).await.unwrap();
    assert_eq!(turns.checkpoint(&eve, session).await.unwrap(), VersionedCheckpoint::default());
    assert!(world.log().follow(&eve, id, None).await.is_err());
    turns.delete_session(&eve, session).await.unwrap();
    let view = turns.task(&turn.request.user_id, id).await.unwrap().unwrap();
    assert_eq!((view.session_deleted, view.task.reply.content.as_str()), (false, "secret"));
    assert_eq!(turns.checkpoint(&turn.request.user_id, session).await.unwrap().version, 1);
}

/// Deleting a session cancels what runs, forgets what was said, and ends what comes later before it starts.
pub async fn a_deleted_session_stays_deleted(world: impl TurnsHarness) {
    let (done, running) = (Turn::new("alice"), Turn::new("alice"));
    let session = done.request.session_id;
    let (running, later) = (running.in_session(session), Turn::new("alice").in_session(session));
    let user = done.request.user_id.clone();
    let turns = world.turns();
    let first = claimed(&world, &done, "w1").await;
    let saved = VersionedCheckpoint { version: 0, checkpoint: with_window(&done, "private") };
    turns.finish(&first, completed("private"), Some(saved)).await.unwrap();
    let claim = claimed(&world, &running, "w1").await;
    turns.delete_session(&user, session).await.unwrap();
    turns.delete_session(&user, session).await.unwrap();

    tokio::time::timeout(Duration::from_secs(5), claim.cancelled.cancelled()).await.unwrap();
    let view = turns.task(&user, done.request.task_id).await.unwrap().unwrap();
    assert_eq!((view.session_deleted, view.task.reply.content.as_str()), (true, ""));
    let end = parlance_shared::port::turns::TurnEnd { status: Status::Cancelled, ..completed("more of it") };
    let kept = VersionedCheckpoint { version: 1, checkpoint: with_window(&running, "more of it") };
    let ended = turns.finish(&claim, end, Some(kept)).await.unwrap();
    assert_eq!((ended.status, ended.reply.content.as_str()), (Status::Cancelled, ""));
    assert_eq!(turns.checkpoint(&user, session).await.unwrap(), VersionedCheckpoint::default());
    assert!(claimed(&world, &later, "w1").await.cancel_requested);
}

/// What a view says of a task that runs: its text so far, its attempt, its instants.
pub async fn a_running_task_shows_its_text_so_far(world: impl TurnsHarness) {
    let turn = Turn::new("alice");
    let (user, id) = (turn.request.user_id.clone(), turn.request.task_id);
    assert!(world.turns().task(&user, id).await.unwrap().is_none(), "no worker has heard of it");
    let claim = claimed(&world, &turn, "w1").await;
    let mut writer = world.log().writer(&claim).await.unwrap();
    writer.append("so ").await.unwrap();
    writer.append("far").await.unwrap();
    let view = world.turns().task(&user, id).await.unwrap().unwrap();
    assert_eq!((view.task.status, view.task.attempt, view.task.reply.content.as_str()), (Status::Running, 1, "so far"));
    assert_eq!(view.fingerprint.as_deref(), turn.request.fingerprint.as_deref());
    assert_eq!(view.task.timings.accepted_at, Some(turn.request.accepted_at));
    assert!(view.task.timings.started_at.is_some() && view.task.timings.finished_at.is_none());
}
