//! Turns and the reply log: claims, ends and checkpoints in SQLite; live text in memory, backed by SQLite about every
//! second and at the end.
//!
//! Readers get text from memory the moment it is appended, so a client's cursor can be ahead of what is stored. That is
//! safe: if the process dies, the attempt dies with it, and the next one has a new number and resets its readers.

mod alone;
mod cancel;
mod checkpoint;
mod claim;
mod expire;
mod finish;
mod flush;
mod hub;
mod live;
mod reopen;
mod reply_log;
pub(crate) mod row;
mod spent;
mod view;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use parlance_shared::{
    Lifecycle, SessionId, TaskId, UserId,
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

pub(crate) use self::{cancel::delete_in, hub::Hub};
use crate::{Database, SqliteUsers};

/// The embedded [`Turns`] and [`parlance_shared::port::reply_log::ReplyLog`]. Clones share the live text.
#[derive(Clone)]
pub struct SqliteTurns {
    database: Database,
    hub: Arc<Hub>,
}

impl SqliteTurns {
    /// Starts on an open data folder; text is flushed, and old text expired, by tasks of the lifecycle.
    pub fn start(database: Database, lifecycle: &Lifecycle) -> Self {
        let turns = Self { database, hub: Arc::new(Hub::default()) };
        lifecycle.spawn(flush::run(turns.clone(), lifecycle.clone()));
        lifecycle.spawn(expire::run(turns.clone(), lifecycle.stopping().clone()));
        turns
    }

    /// All that is stored of a user, beside the turns that run here.
    pub fn users(&self) -> SqliteUsers {
        SqliteUsers::beside(self.database.clone(), Arc::clone(&self.hub))
    }
}

#[async_trait]
impl Turns for SqliteTurns {
    async fn claim(
        &self,
        request: &TurnRequest,
        worker: &WorkerId,
        lease: Duration,
    ) -> Result<ClaimOutcome, PortError> {
        claim::claim(self, request.clone(), worker.clone(), lease).await
    }

    async fn next_attempt(&self, claim: &Claim, reason: &str) -> Result<Claim, ClaimError> {
        claim::next_attempt(self, claim.clone(), reason.to_owned()).await
    }

    async fn heartbeat(&self, claims: &[Claim], lease: Duration) -> Result<(), PortError> {
        claim::heartbeat(self, claims, lease).await
    }

    async fn finish(
        &self,
        claim: &Claim,
        end: TurnEnd,
        checkpoint: Option<VersionedCheckpoint>,
    ) -> Result<Task, ClaimError> {
        finish::finish(self, claim.clone(), end, checkpoint).await
    }

    async fn is_too_many(&self, claim: &Claim, looked_at: DateTime<Utc>) -> Result<bool, PortError> {
        alone::is_too_many(self, claim, looked_at).await
    }

    async fn release(&self, claim: &Claim) -> Result<(), PortError> {
        claim::release(self, claim.clone()).await
    }

    async fn request_cancel(&self, user: &UserId, task: TaskId) -> Result<CancelOutcome, PortError> {
        cancel::request_cancel(self, user.clone(), task).await
    }

    async fn interrupt(
        &self,
        user: &UserId,
        session: SessionId,
        by: TaskId,
        before: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, PortError> {
        cancel::interrupt(self, user.clone(), session, by, before).await
    }

    async fn delete_session(&self, user: &UserId, session: SessionId) -> Result<(), PortError> {
        cancel::delete_session(self, user.clone(), session).await
    }

    async fn checkpoint(&self, user: &UserId, session: SessionId) -> Result<VersionedCheckpoint, PortError> {
        checkpoint::load(self, user, session).await
    }

    async fn save_checkpoint(
        &self,
        user: &UserId,
        session: SessionId,
        checkpoint: VersionedCheckpoint,
    ) -> Result<(), ClaimError> {
        checkpoint::save(self, user.clone(), session, checkpoint).await
    }

    async fn task(&self, user: &UserId, task: TaskId) -> Result<Option<TurnView>, PortError> {
        view::task(self, user, task).await
    }

    async fn spent(&self, user: &UserId, since: DateTime<Utc>) -> Result<Spent, PortError> {
        spent::spent(self, user, since).await
    }

    async fn active(&self) -> Result<u64, PortError> {
        Ok(self.hub.held())
    }
}
