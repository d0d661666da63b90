//! The loop against a store that answers as the test says, in paused time.

use std::{collections::HashSet, future::pending};

use async_trait::async_trait;
use parlance_shared::{
    Clock, SessionId, TaskId, UserId,
    budget::Spent,
    id_mint::IdMint,
    port::{
        PortError,
        turns::{
            CancelOutcome, ClaimError, ClaimOutcome, TurnEnd, TurnRequest, TurnView, VersionedCheckpoint, WorkerId,
        },
    },
    task::Task,
};

use super::*;

/// What the store says to heartbeats.
enum Says {
    /// All are held, but those of these attempts.
    Lost(HashSet<u32>),
    Error,
    Nothing,
}

struct Store {
    says: Mutex<Says>,
    beats: Mutex<Vec<usize>>,
}

impl Store {
    fn new(says: Says) -> Arc<Self> {
        Arc::new(Self { says: Mutex::new(says), beats: Mutex::default() })
    }

    fn beats(&self) -> Vec<usize> {
        self.beats.lock().unwrap().clone()
    }
}

#[async_trait]
impl Turns for Store {
    async fn heartbeat(&self, claims: &[Claim], _: Duration) -> Result<(), PortError> {
        self.beats.lock().unwrap().push(claims.len());
        let hang = match &*self.says.lock().unwrap() {
            Says::Lost(attempts) => {
                claims.iter().filter(|claim| attempts.contains(&claim.attempt)).for_each(|claim| claim.lost.cancel());
                false
            }
            Says::Error => return Err(PortError::Unavailable { what: "store", cause: "away".into() }),
            Says::Nothing => true,
        };
        if hang {
            pending::<()>().await;
        }
        Ok(())
    }

    async fn claim(&self, _: &TurnRequest, _: &WorkerId, _: Duration) -> Result<ClaimOutcome, PortError> {
        unreachable!()
    }
    async fn next_attempt(&self, _: &Claim, _: &str) -> Result<Claim, ClaimError> {
        unreachable!()
    }
    async fn finish(&self, _: &Claim, _: TurnEnd, _: Option<VersionedCheckpoint>) -> Result<Task, ClaimError> {
        unreachable!()
    }
    async fn is_too_many(&self, _: &Claim, _: chrono::DateTime<chrono::Utc>) -> Result<bool, PortError> {
        unreachable!()
    }
    async fn release(&self, _: &Claim) -> Result<(), PortError> {
        unreachable!()
    }
    async fn request_cancel(&self, _: &UserId, _: TaskId) -> Result<CancelOutcome, PortError> {
        unreachable!()
    }
    async fn interrupt(
        &self,
        _: &UserId,
        _: SessionId,
        _: TaskId,
        _: chrono::DateTime<chrono::Utc>,
    ) -> Result<chrono::DateTime<chrono::Utc>, PortError> {
        unreachable!()
    }

    async fn delete_session(&self, _: &UserId, _: SessionId) -> Result<(), PortError> {
        unreachable!()
    }
    async fn checkpoint(&self, _: &UserId, _: SessionId) -> Result<VersionedCheckpoint, PortError> {
        unreachable!()
    }
    async fn save_checkpoint(&self, _: &UserId, _: SessionId, _: VersionedCheckpoint) -> Result<(), ClaimError> {
        unreachable!()
    }
    async fn task(&self, _: &UserId, _: TaskId) -> Result<Option<TurnView>, PortError> {
        unreachable!()
    }
    async fn spent(&self, _: &UserId, _: chrono::DateTime<chrono::Utc>) -> Result<Spent, PortError> {
        unreachable!()
    }
    async fn active(&self) -> Result<u64, PortError> {
        unreachable!()
    }
}

fn claim(attempt: u32) -> Claim {
    let (mint, user_id) = (IdMint::new(&[1; 32], Clock::system()), UserId::new("alice"));
    Claim {
        task_id: mint.mint(&user_id),
        session_id: mint.mint(&user_id),
        user_id,
        attempt,
        worker: WorkerId("w1".to_owned()),
        lost_attempts: 0,
        failed_attempts: 0,
        cancel_requested: false,
        earlier_text: "long".to_owned(),
        cancelled: CancellationToken::new(),
        lost: CancellationToken::new(),
    }
}

/// Runs the loop for a time.
async fn run_for(leases: &LeaseLoop, time: Duration) {
    assert!(tokio::time::timeout(time, leases.run()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn one_beat_holds_all_claims_until_their_turns_end() {
    let store = Store::new(Says::Lost(HashSet::new()));
    let leases = Arc::new(LeaseLoop::new(store.clone()));
    let (first, second) = (claim(1), claim(1));
    let held = leases.hold(&first, Instant::now());
    let also_held = leases.hold(&second, Instant::now());
    run_for(&leases, Duration::from_secs(61)).await;
    drop(also_held);
    run_for(&leases, Duration::from_secs(1)).await;
    drop(held);
    run_for(&leases, Duration::from_secs(30)).await;
    let beats = store.beats();
    assert_eq!(beats.iter().filter(|claims| **claims == 2).count(), 21, "{beats:?}");
    assert_eq!(beats.last(), Some(&1), "nothing is sent for claims that are gone: {beats:?}");
    assert!(!first.lost.is_cancelled() && !second.lost.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_the_store_gave_away_is_lost_at_the_next_beat() {
    let store = Store::new(Says::Lost([7].into()));
    let leases = Arc::new(LeaseLoop::new(store));
    let (taken, kept) = (claim(7), claim(1));
    let (_taken, _kept) = (leases.hold(&taken, Instant::now()), leases.hold(&kept, Instant::now()));
    run_for(&leases, Duration::from_millis(1)).await;
    assert!(taken.lost.is_cancelled());
    assert!(!kept.lost.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_verdict_about_an_earlier_attempt_is_not_about_this_one() {
    let store = Store::new(Says::Lost([1].into()));
    let leases = Arc::new(LeaseLoop::new(store));
    let first = claim(1);
    let hold = leases.hold(&first, Instant::now());
    hold.begin_move();
    run_for(&leases, Duration::from_millis(1)).await;
    let second = Claim { attempt: 2, ..first };
    hold.end_move(&second);
    run_for(&leases, Duration::from_secs(60)).await;
    assert!(!second.lost.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn claims_are_lost_when_the_store_is_away_for_too_long() {
    for says in [Says::Error, Says::Nothing] {
        let store = Store::new(says);
        let leases = Arc::new(LeaseLoop::new(store.clone()));
        let held = claim(1);
        let _hold = leases.hold(&held, Instant::now());
        run_for(&leases, AWAY - Duration::from_secs(1)).await;
        assert!(!held.lost.is_cancelled(), "a failover is survived");
        run_for(&leases, 2 * BEAT + Duration::from_secs(1)).await;
        assert!(held.lost.is_cancelled());
    }
}

#[tokio::test(start_paused = true)]
async fn outages_are_not_added_up() {
    let store = Store::new(Says::Error);
    let leases = Arc::new(LeaseLoop::new(store.clone()));
    let held = claim(1);
    let _hold = leases.hold(&held, Instant::now());
    run_for(&leases, AWAY / 2).await;
    *store.says.lock().unwrap() = Says::Lost(HashSet::new());
    run_for(&leases, 2 * BEAT).await;
    *store.says.lock().unwrap() = Says::Error;
    run_for(&leases, AWAY / 2).await;
    assert!(!held.lost.is_cancelled());
}
