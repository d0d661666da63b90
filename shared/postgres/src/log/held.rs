//! The claims of this process: what it must be told of, and which texts are its own.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use parlance_shared::{TaskId, UserId, port::turns::Claim};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{outbox::Outbox, stream::Stream};

/// All claims, by task.
#[derive(Debug)]
pub(crate) struct HeldClaims {
    outbox: Arc<Outbox>,
    inner: Mutex<HashMap<TaskId, Held>>,
    let_go: Notify,
}

/// One claim.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    /// Its owner.
    pub(crate) user: UserId,
    /// The text of its attempt.
    pub(crate) stream: Arc<Stream>,
    /// Why the attempt before was given up.
    pub(crate) reset_reason: String,
    cancelled: CancellationToken,
    lost: CancellationToken,
    /// How many calls are about to change the row themselves: what is seen of it meanwhile proves nothing.
    moving: u32,
}

impl Held {
    pub(crate) fn attempt(&self) -> u32 {
        self.stream.attempt
    }

    /// Fires when the claim is known to be lost.
    pub(crate) fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    pub(crate) fn is_for(&self, claim: &Claim) -> bool {
        self.stream.attempt == claim.attempt && self.stream.worker == claim.worker
    }
}

impl HeldClaims {
    pub(crate) fn new(outbox: Arc<Outbox>) -> Self {
        Self { outbox, inner: Mutex::default(), let_go: Notify::new() }
    }

    fn inner(&self) -> MutexGuard<'_, HashMap<TaskId, Held>> {
        // Each change is a single insertion or removal.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A claim was granted. An earlier one of the same task in this process is lost by that.
    pub(crate) fn hold(&self, claim: &Claim, reset_reason: String) {
        let held = Held {
            user: claim.user_id.clone(),
            stream: Stream::new(claim.task_id, claim.attempt, claim.worker.clone()),
            reset_reason,
            cancelled: claim.cancelled.clone(),
            lost: claim.lost.clone(),
            moving: 0,
        };
        let before = {
            let mut inner = self.inner();
            // Of turns that died without a word, by whoever fired their tokens.
            inner.retain(|_, held| !held.lost.is_cancelled());
            inner.insert(claim.task_id, held)
        };
        if let Some(before) = before {
            before.stream.close(&self.outbox);
            before.lost.cancel();
        }
    }

    /// The turn goes on under the next attempt.
    pub(crate) fn move_on(&self, before: &Claim, now: &Claim, reason: String) {
        let mut inner = self.inner();
        let Some(held) = inner.get_mut(&before.task_id).filter(|held| held.is_for(before)) else { return };
        let next = Stream::new(now.task_id, now.attempt, now.worker.clone());
        held.reset_reason = reason;
        let ended = std::mem::replace(&mut held.stream, next);
        drop(inner);
        ended.close(&self.outbox);
    }

    /// The claim has ended, or was handed back.
    pub(crate) fn let_go(&self, claim: &Claim) {
        let gone = {
            let mut inner = self.inner();
            let is_this = inner.get(&claim.task_id).is_some_and(|held| held.is_for(claim));
            is_this.then(|| inner.remove(&claim.task_id)).flatten()
        };
        if let Some(gone) = gone {
            gone.stream.close(&self.outbox);
        }
        self.let_go.notify_waiters();
    }

    /// The row says that the attempt is no longer this process'.
    pub(crate) fn lose(&self, task: TaskId, attempt: u32) {
        let lost = {
            let mut inner = self.inner();
            let is_lost = inner.get(&task).is_some_and(|held| held.attempt() == attempt && held.moving == 0);
            is_lost.then(|| inner.remove(&task)).flatten()
        };
        if let Some(lost) = lost {
            lost.stream.close(&self.outbox);
            lost.lost.cancel();
            self.let_go.notify_waiters();
        }
    }

    /// Another process has the task under this attempt.
    pub(crate) fn taken_over(&self, task: TaskId, attempt: u32) {
        let older = self.find(task).map(|held| held.attempt()).filter(|ours| *ours < attempt);
        if let Some(ours) = older {
            self.lose(task, ours);
        }
    }

    /// The owner wants the task stopped.
    pub(crate) fn cancel(&self, task: TaskId) {
        if let Some(held) = self.find(task) {
            held.cancelled.cancel();
        }
    }

    pub(crate) fn find(&self, task: TaskId) -> Option<Held> {
        self.inner().get(&task).cloned()
    }

    pub(crate) fn find_for(&self, claim: &Claim) -> Option<Held> {
        self.find(claim.task_id).filter(|held| held.is_for(claim))
    }

    pub(crate) fn all(&self) -> Vec<Arc<Stream>> {
        self.inner().values().map(|held| Arc::clone(&held.stream)).collect()
    }

    pub(crate) fn count(&self) -> u64 {
        self.inner().values().filter(|held| !held.lost.is_cancelled()).count() as u64
    }

    /// Waits until no claim is held.
    pub(crate) async fn none(&self) {
        loop {
            let let_go = self.let_go.notified();
            if self.count() == 0 {
                return;
            }
            // Tokens fire elsewhere too, and say so to nobody here.
            let _ = tokio::time::timeout(std::time::Duration::from_secs(1), let_go).await;
        }
    }

    /// The caller is about to change the claim's row; until the guard is dropped nobody takes the change for a loss.
    pub(crate) fn moving(&self, claim: &Claim) -> Moving<'_> {
        if let Some(held) = self.inner().get_mut(&claim.task_id) {
            held.moving += 1;
        }
        Moving { claims: self, task: claim.task_id }
    }
}

/// See [`HeldClaims::moving`].
pub(crate) struct Moving<'a> {
    claims: &'a HeldClaims,
    task: TaskId,
}

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        if let Some(held) = self.claims.inner().get_mut(&self.task) {
            held.moving = held.moving.saturating_sub(1);
        }
    }
}
