//! An operator's replay that has a failed task answered anew: once per replay, and nothing else that has ended.

use std::time::Duration;

use parlance_shared::{
    log_view::{Entry, LogEvent},
    port::{
        reply_log::ReplyReader,
        turns::{Claim, ClaimOutcome, TurnEnd},
    },
    task::{Status, TaskError, codes},
};
use uuid::Uuid;

use super::harness::{LEASE, Turn, TurnsHarness, claimed, completed};

fn failed(content: &str) -> TurnEnd {
    let error = TaskError { code: "provider_unavailable".into(), message: "It is away.".into(), retryable: true };
    TurnEnd { status: Status::Failed, error: Some(error), ..completed(content) }
}

/// The task as a replay with this id asks for it.
fn replayed(turn: &Turn, id: Uuid) -> Turn {
    let mut request = turn.request.clone();
    request.reopen = Some(id);
    Turn { request }
}

async fn assert_ended(world: &impl TurnsHarness, turn: &Turn, status: Status, attempt: u32) {
    let outcome = world.turns().claim(&turn.request, &Turn::worker("w9"), LEASE).await.unwrap();
    let ClaimOutcome::Ended(task) = outcome else { panic!("{outcome:?}") };
    assert_eq!((task.status, task.attempt), (status, attempt));
}

/// Fails an attempt that was retried once, so that the counters have something to lose.
async fn failed_after_a_retry(world: &impl TurnsHarness, turn: &Turn) -> Claim {
    let claim = claimed(world, turn, "w1").await;
    let claim = world.turns().next_attempt(&claim, "provider_unavailable").await.unwrap();
    world.turns().finish(&claim, failed("half of"), None).await.unwrap();
    claim
}

/// Each replay id opens a failed task once, with fresh counters, whoever asks how often; a request without one never does.
pub async fn a_failed_task_is_reopened_once_by_each_replay(world: impl TurnsHarness) {
    let turn = Turn::new("alice");
    let (user, id) = (turn.request.user_id.clone(), turn.request.task_id);
    let before = failed_after_a_retry(&world, &turn).await;
    assert_ended(&world, &turn, Status::Failed, 2).await;

    let first = replayed(&turn, Uuid::now_v7());
    let claim = claimed(&world, &first, "w2").await;
    assert_eq!((claim.attempt, claim.lost_attempts, claim.failed_attempts), (3, 0, 0));
    assert!(!claim.cancel_requested);
    assert!(world.log().writer(&before).await.is_err(), "the attempt that failed is over");
    let task = world.turns().task(&user, id).await.unwrap().unwrap().task;
    assert_eq!((task.status, task.reply.content.as_str()), (Status::Running, ""));
    assert_eq!((task.error, task.timings.finished_at, task.timings.first_token_at), (None, None, None));
    assert!(task.timings.started_at.is_some());
    for again in [&first, &turn, &replayed(&turn, Uuid::now_v7())] {
        let outcome = world.turns().claim(&again.request, &Turn::worker("w3"), LEASE).await.unwrap();
        assert!(matches!(outcome, ClaimOutcome::HeldUntil(_)), "while it is answered: {outcome:?}");
    }

    // A worker that is lost meanwhile is the reopened attempt's loss, and the same delivery goes on.
    world.advance(LEASE + Duration::from_secs(1)).await;
    let claim = claimed(&world, &first, "w3").await;
    assert_eq!((claim.attempt, claim.lost_attempts, claim.failed_attempts), (4, 1, 0));
    world.turns().finish(&claim, failed("again in vain"), None).await.unwrap();
    assert_ended(&world, &first, Status::Failed, 4).await;
    assert_ended(&world, &turn, Status::Failed, 4).await;

    let world = world.restart().await;
    assert_ended(&world, &first, Status::Failed, 4).await;
    let second = replayed(&turn, Uuid::now_v7());
    let claim = claimed(&world, &second, "w4").await;
    assert_eq!((claim.attempt, claim.lost_attempts, claim.failed_attempts), (5, 0, 0));
    let task = world.turns().finish(&claim, completed("at last"), None).await.unwrap();
    assert_eq!((task.status, task.error, task.reply.content.as_str()), (Status::Completed, None, "at last"));
    assert_ended(&world, &replayed(&turn, Uuid::now_v7()), Status::Completed, 5).await;
}

/// No replay touches what was answered or what its owner stopped, also when no worker had ever had it.
pub async fn a_completed_or_cancelled_task_stays_ended(world: impl TurnsHarness) {
    for status in [Status::Completed, Status::Cancelled] {
        let turn = Turn::new("alice");
        let claim = claimed(&world, &turn, "w1").await;
        world.turns().finish(&claim, TurnEnd { status, ..completed("said") }, None).await.unwrap();
        let replay = replayed(&turn, Uuid::now_v7());
        for _ in 0..2 {
            assert_ended(&world, &replay, status, 1).await;
        }
        let view = world.turns().task(&turn.request.user_id, turn.request.task_id).await.unwrap().unwrap();
        assert_eq!((view.task.status, view.task.reply.content.as_str()), (status, "said"));
    }
    let turn = Turn::new("alice");
    world.turns().request_cancel(&turn.request.user_id, turn.request.task_id).await.unwrap();
    assert_ended(&world, &replayed(&turn, Uuid::now_v7()), Status::Cancelled, 0).await;
    assert_eq!(world.turns().active().await.unwrap(), 0);
}

async fn next(reader: &mut Box<dyn ReplyReader>) -> Option<Entry> {
    tokio::time::timeout(Duration::from_secs(5), reader.next()).await.expect("the reader was not woken").unwrap()
}

async fn rest(reader: &mut Box<dyn ReplyReader>) -> Vec<Entry> {
    let mut entries = Vec::new();
    while let Some(entry) = next(reader).await {
        entries.push(entry);
    }
    entries
}

/// Who has seen the failure, or part of the text before it, is reset with the reason, then has the new text alone.
pub async fn a_reopened_task_resets_its_readers(world: impl TurnsHarness) {
    let turn = Turn::new("alice");
    let (user, id) = (turn.request.user_id.clone(), turn.request.task_id);
    let claim = claimed(&world, &turn, "w1").await;
    world.log().writer(&claim).await.unwrap().append("half of").await.unwrap();
    world.turns().finish(&claim, failed("half of"), None).await.unwrap();
    let seen = rest(&mut world.log().follow(&user, id, None).await.unwrap()).await;
    let names: Vec<_> = seen.iter().map(|entry| entry.event.name()).collect();
    assert_eq!(names, ["status", "delta", "failed"]);

    let replay = replayed(&turn, Uuid::now_v7());
    let claim = claimed(&world, &replay, "w2").await;
    let mut readers = Vec::new();
    for entry in &seen {
        readers.push(world.log().follow(&user, id, Some(entry.cursor)).await.unwrap());
    }
    for reader in &mut readers {
        let entry = next(reader).await.expect("the log is open");
        assert!(
            matches!(&entry.event, LogEvent::Reset(reset) if reset.attempt == 2 && reset.reason == codes::REPLAYED),
            "{entry:?}"
        );
    }
    world.log().writer(&claim).await.unwrap().append("whole").await.unwrap();
    world.turns().finish(&claim, completed("whole"), None).await.unwrap();
    for reader in &mut readers {
        let entries = rest(reader).await;
        let names: Vec<_> = entries.iter().map(|entry| entry.event.name()).collect();
        assert_eq!(names, ["status", "delta", "done"]);
        assert!(matches!(&entries[1].event, LogEvent::Delta(delta) if delta.text == "whole" && delta.attempt == 2));
    }
    let world = world.restart().await;
    let late = rest(&mut world.log().follow(&user, id, Some(seen[1].cursor)).await.unwrap()).await;
    let names: Vec<_> = late.iter().map(|entry| entry.event.name()).collect();
    assert_eq!(names, ["reset", "status", "delta", "done"]);
}

/// The bus may deliver an earlier replay's event once more after a later replay has had its turn.
pub async fn an_earlier_replay_reopens_nothing_again(world: impl TurnsHarness) {
    let turn = Turn::new("alice");
    let replays = [None, Some(Uuid::now_v7()), Some(Uuid::now_v7()), Some(Uuid::now_v7())];
    let asked_by =
        |replay: &Option<Uuid>| replay.map_or_else(|| Turn { request: turn.request.clone() }, |id| replayed(&turn, id));
    for (attempt, replay) in (1..).zip(&replays) {
        let claim = claimed(&world, &asked_by(replay), "w1").await;
        assert_eq!(claim.attempt, attempt);
        world.turns().finish(&claim, failed("no"), None).await.unwrap();
        for earlier in replays.iter().take(attempt as usize) {
            assert_ended(&world, &asked_by(earlier), Status::Failed, attempt).await;
        }
    }
}
