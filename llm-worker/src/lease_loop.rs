//! Holds all claims of the process with one heartbeat.
//!
//! A claim is the process' for [`LEASE`] from its last heartbeat that the store confirmed. After that another worker may
//! take the task, but if the store is away for us it is mostly away for all: so the work goes on, and the first heartbeat
//! that is answered says whether the claim is still ours. Only when none was confirmed for [`AWAY`] the claim's `lost` token
//! fires without asking. Fencing at the store makes a late notice harmless; the token only saves the work.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parlance_shared::port::turns::{Claim, Turns};
use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::port_call::once;

/// How long a claim lasts without a heartbeat.
pub(crate) const LEASE: Duration = Duration::from_secs(10);

/// Two beats may fail before another worker can take the task.
const BEAT: Duration = Duration::from_secs(3);

/// A store that is away for longer takes the claims with it: a failover takes less.
const AWAY: Duration = Duration::from_secs(60);

/// The claims of a process.
pub(crate) struct LeaseLoop {
    turns: Arc<dyn Turns>,
    held: Mutex<HashMap<u64, Held>>,
    next_key: AtomicU64,
    /// A claim is no longer held.
    let_go: Notify,
}

struct Held {
    claim: Claim,
    confirmed: Instant,
    /// The attempt's number is about to change: a beat that was sent meanwhile can't tell whether the claim is lost.
    moving: bool,
}

impl LeaseLoop {
    pub(crate) fn new(turns: Arc<dyn Turns>) -> Self {
        Self { turns, held: Mutex::default(), next_key: AtomicU64::new(0), let_go: Notify::new() }
    }

    /// Holds the claim until the guard is dropped. `asked`: the instant before the claim was asked for.
    pub(crate) fn hold(self: &Arc<Self>, claim: &Claim, asked: Instant) -> Hold {
        let key = self.next_key.fetch_add(1, Ordering::Relaxed);
        self.held().insert(key, Held { claim: slim(claim), confirmed: asked, moving: false });
        Hold { leases: Arc::clone(self), key }
    }

    /// Returns when no claim is held.
    pub(crate) async fn none_held(&self) {
        loop {
            let let_go = self.let_go.notified();
            if self.held().is_empty() {
                return;
            }
            let_go.await;
        }
    }

    /// Beats for ever.
    pub(crate) async fn run(&self) {
        let mut beats = tokio::time::interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            self.beat().await;
        }
    }

    async fn beat(&self) {
        // The store fires the tokens of these copies, not the turns' own: a verdict may come too late to be true.
        let (keys, claims): (Vec<u64>, Vec<Claim>) = {
            let probe = |held: &Held| Claim { lost: CancellationToken::new(), ..held.claim.clone() };
            self.held().iter().map(|(key, held)| (*key, probe(held))).unzip()
        };
        if claims.is_empty() {
            return;
        }
        let asked = Instant::now();
        match once("heartbeat", BEAT, self.turns.heartbeat(&claims, LEASE)).await {
            Ok(()) => self.confirm(keys.into_iter().zip(claims), asked),
            Err(error) => {
                warn!(%error, claims = claims.len(), "could not renew the leases of claims");
                self.expire();
            }
        }
    }

    fn confirm(&self, answered: impl Iterator<Item = (u64, Claim)>, asked: Instant) {
        let mut all = self.held();
        for (key, probe) in answered {
            let Some(held) = all.get_mut(&key) else { continue };
            if !probe.lost.is_cancelled() {
                held.confirmed = held.confirmed.max(asked);
            } else if !held.moving && held.claim.attempt == probe.attempt {
                held.claim.lost.cancel();
            }
        }
    }

    fn expire(&self) {
        for held in self.held().values() {
            if held.confirmed.elapsed() >= AWAY {
                held.claim.lost.cancel();
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<u64, Held>> {
        // The map is whole after every statement, so a panic elsewhere leaves nothing half done in it.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A heartbeat needs no text.
fn slim(claim: &Claim) -> Claim {
    Claim {
        task_id: claim.task_id,
        session_id: claim.session_id,
        user_id: claim.user_id.clone(),
        attempt: claim.attempt,
        worker: claim.worker.clone(),
        lost_attempts: claim.lost_attempts,
        failed_attempts: claim.failed_attempts,
        cancel_requested: claim.cancel_requested,
        earlier_text: String::new(),
        cancelled: claim.cancelled.clone(),
        lost: claim.lost.clone(),
    }
}

/// Keeps a claim held. Dropped: no more heartbeats, so that a turn that died is taken over when its lease runs out.
pub(crate) struct Hold {
    leases: Arc<LeaseLoop>,
    key: u64,
}

impl Hold {
    /// The attempt's number is about to change.
    pub(crate) fn begin_move(&self) {
        if let Some(held) = self.leases.held().get_mut(&self.key) {
            held.moving = true;
        }
    }

    /// The turn goes on under this attempt.
    pub(crate) fn end_move(&self, claim: &Claim) {
        if let Some(held) = self.leases.held().get_mut(&self.key) {
            held.claim = slim(claim);
            held.moving = false;
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.leases.held().remove(&self.key);
        self.leases.let_go.notify_waiters();
    }
}

#[cfg(test)]
#[path = "lease_loop_tests.rs"]
mod tests;
