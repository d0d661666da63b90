//! What counts against a user's budget: what has ended, once, whether or not the record knows it.

use std::time::Duration;

use chrono::TimeDelta;
use parlance_shared::{
    budget::Spent,
    port::turns::{ClaimOutcome, TurnEnd},
    task::{Status, TaskDetails, TaskError, Usage},
};
use uuid::Uuid;

use super::{
    TurnsHarness,
    harness::{LEASE, Turn, claimed, completed},
};

fn end(tokens: [u64; 2], cost: Option<u64>) -> TurnEnd {
    let [input, output] = tokens.map(Some);
    TurnEnd {
        usage: Usage { input_tokens: input, output_tokens: output, cached_tokens: Some(1) },
        details: TaskDetails { cost_micro_usd: cost, ..TaskDetails::default() },
        ..completed("so much")
    }
}

/// Each turn that ended since counts once, to its owner alone; also when its session is deleted.
pub async fn what_ended_counts_once_against_its_owner(world: impl TurnsHarness) {
    let turns = world.turns();
    let (one, two, unpriced, other) = (Turn::new("alice"), Turn::new("alice"), Turn::new("alice"), Turn::new("bob"));
    let user = &one.request.user_id;
    let began = one.request.accepted_at;
    assert_eq!(turns.spent(user, began).await.unwrap(), Spent::default());
    let claim = claimed(&world, &one, "w1").await;
    assert_eq!(turns.spent(user, began).await.unwrap(), Spent::default(), "nothing has ended");
    let first = turns.finish(&claim, end([10, 5], Some(100)), None).await.unwrap();
    let spent = Spent { tokens: 15, micro_usd: 100 };
    assert_eq!(turns.spent(user, began).await.unwrap(), spent);
    let ended_at = first.timings.finished_at.unwrap();
    assert_eq!(turns.spent(user, ended_at).await.unwrap(), spent, "from that very instant on");
    assert_eq!(turns.spent(user, ended_at + TimeDelta::milliseconds(1)).await.unwrap(), Spent::default());

    // Delivered again, it is the same end.
    let again = turns.claim(&one.request, &Turn::worker("w2"), LEASE).await.unwrap();
    assert!(matches!(again, ClaimOutcome::Ended(_)), "{again:?}");
    assert!(turns.finish(&claim, end([1_000, 1_000], Some(1_000)), None).await.is_err());
    assert_eq!(turns.spent(user, began).await.unwrap(), spent);

    for (turn, end) in
        [(&two, end([1, 1], Some(7))), (&unpriced, end([3, 0], None)), (&other, end([900, 900], Some(9)))]
    {
        let claim = claimed(&world, turn, "w1").await;
        turns.finish(&claim, end, None).await.unwrap();
    }
    let spent = Spent { tokens: 20, micro_usd: 107 };
    assert_eq!(turns.spent(user, began).await.unwrap(), spent);
    turns.delete_session(user, one.request.session_id).await.unwrap();
    assert_eq!(turns.spent(user, began).await.unwrap(), spent, "what is forgotten was used all the same");
    let other = turns.spent(&other.request.user_id, began).await.unwrap();
    assert_eq!(other, Spent { tokens: 1_800, micro_usd: 9 });
}

/// A failed task that is answered anew counts by its last end.
pub async fn a_reopened_task_counts_by_its_last_end(world: impl TurnsHarness) {
    let turns = world.turns();
    let mut turn = Turn::new("alice");
    let (user, began) = (turn.request.user_id.clone(), turn.request.accepted_at);
    let claim = claimed(&world, &turn, "w1").await;
    let error = TaskError { code: "x".into(), message: "It failed.".into(), retryable: true };
    let failed = TurnEnd { status: Status::Failed, error: Some(error), ..end([10, 5], Some(100)) };
    turns.finish(&claim, failed, None).await.unwrap();
    turn.request.reopen = Some(Uuid::now_v7());
    world.advance(Duration::from_millis(1)).await;
    let claim = claimed(&world, &turn, "w1").await;
    turns.finish(&claim, end([2, 2], Some(1)), None).await.unwrap();
    assert_eq!(turns.spent(&user, began).await.unwrap(), Spent { tokens: 4, micro_usd: 1 });
}
