//! Turns whose ends can't be stored.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use parlance_shared::{
    SessionId, TaskId, UserId,
    budget::Spent,
    port::{
        PortError,
        turns::{
            CancelOutcome, Claim, ClaimError, ClaimOutcome, TurnEnd, TurnRequest, TurnView, Turns, VersionedCheckpoint,
            WorkerId,
        },
    },
    task::Task,
};

use super::Faults;

/// Fails `finish`; all else is the real one's.
#[derive(Clone)]
pub struct FaultyTurns {
    /// The real ones.
    pub inner: Arc<dyn Turns>,
    /// What goes wrong.
    pub faults: Faults,
}

impl FaultyTurns {
    /// In front of these turns.
    pub fn new(inner: Arc<dyn Turns>, faults: Faults) -> Self {
        Self { inner, faults }
    }
}

#[async_trait]
impl Turns for FaultyTurns {
    async fn finish(
        &self,
        claim: &Claim,
        end: TurnEnd,
        checkpoint: Option<VersionedCheckpoint>,
    ) -> Result<Task, ClaimError> {
        self.faults.pass().await?;
        self.inner.finish(claim, end, checkpoint).await
    }

    async fn claim(
        &self,
        request: &TurnRequest,
        worker: &WorkerId,
        lease: Duration,
    ) -> Result<ClaimOutcome, PortError> {
        self.inner.claim(request, worker, lease).await
    }

    async fn next_attempt(&self, claim: &Claim, reason: &str) -> Result<Claim, ClaimError> {
        self.inner.next_attempt(claim, reason).await
    }

    async fn heartbeat(&self, claims: &[Claim], lease: Duration) -> Result<(), PortError> {
        self.inner.heartbeat(claims, lease).await
    }

    async fn is_too_many(&self, claim: &Claim, looked_at: DateTime<Utc>) -> Result<bool, PortError> {
        self.inner.is_too_many(claim, looked_at).await
    }

    async fn release(&self, claim: &Claim) -> Result<(), PortError> {
        self.inner.release(claim).await
    }

    async fn request_cancel(&self, user: &UserId, task: TaskId) -> Result<CancelOutcome, PortError> {
        self.inner.request_cancel(user, task).await
    }

    async fn interrupt(
        &self,
        user: &UserId,
        session: SessionId,
        by: TaskId,
        before: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, PortError> {
        self.inner.interrupt(user, session, by, before).await
    }

    async fn delete_session(&self, user: &UserId, session: SessionId) -> Result<(), PortError> {
        self.inner.delete_session(user, session).await
    }

    async fn checkpoint(&self, user: &UserId, session: SessionId) -> Result<VersionedCheckpoint, PortError> {
        self.inner.checkpoint(user, session).await
    }

    async fn save_checkpoint(
        &self,
        user: &UserId,
        session: SessionId,
        checkpoint: VersionedCheckpoint,
    ) -> Result<(), ClaimError> {
        self.inner.save_checkpoint(user, session, checkpoint).await
    }

    async fn task(&self, user: &UserId, task: TaskId) -> Result<Option<TurnView>, PortError> {
        self.inner.task(user, task).await
    }

    async fn spent(&self, user: &UserId, since: DateTime<Utc>) -> Result<Spent, PortError> {
        self.inner.spent(user, since).await
    }

    async fn active(&self) -> Result<u64, PortError> {
        self.inner.active().await
    }
}
