//! A store that can't be used, or only read.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use parlance_shared::{
    SessionId, TaskId, UserId,
    event::{HeadingMade, MessageSubmitted, ReplyCompleted, SessionChanged, SessionDeleted, SummaryMade},
    message::Message,
    page::{Page, PageRequest},
    port::{
        PortError,
        store::{Admission, Lookup, Store, StoredTask, StoredTurn, TurnOf},
    },
    session::Session,
    summary::StoredSummary,
    usage::{UsageQuery, UsageReport},
};

use super::Faults;

/// Fails every call, or writes only.
#[derive(Clone)]
pub struct FaultyStore {
    /// The real one.
    pub inner: Arc<dyn Store>,
    /// What goes wrong.
    pub faults: Faults,
    reads_too: bool,
}

impl FaultyStore {
    /// In front of this store: reads and writes fail.
    pub fn new(inner: Arc<dyn Store>, faults: Faults) -> Self {
        Self { inner, faults, reads_too: true }
    }

    /// In front of this store: writes fail, reads are the real one's.
    pub fn writes_only(inner: Arc<dyn Store>, faults: Faults) -> Self {
        Self { inner, faults, reads_too: false }
    }

    async fn write(&self) -> Result<(), PortError> {
        self.faults.pass().await
    }

    async fn read(&self) -> Result<(), PortError> {
        if self.reads_too { self.faults.pass().await } else { Ok(()) }
    }
}

#[async_trait]
impl Store for FaultyStore {
    async fn record_message_submitted(&self, event: &MessageSubmitted) -> Result<(), PortError> {
        self.write().await?;
        self.inner.record_message_submitted(event).await
    }

    async fn record_session_changed(&self, event: &SessionChanged) -> Result<(), PortError> {
        self.write().await?;
        self.inner.record_session_changed(event).await
    }

    async fn record_session_deleted(&self, event: &SessionDeleted) -> Result<(), PortError> {
        self.write().await?;
        self.inner.record_session_deleted(event).await
    }

    async fn record_reply_completed(&self, event: &ReplyCompleted) -> Result<(), PortError> {
        self.write().await?;
        self.inner.record_reply_completed(event).await
    }

    async fn record_summary_made(&self, event: &SummaryMade) -> Result<(), PortError> {
        self.write().await?;
        self.inner.record_summary_made(event).await
    }

    async fn record_heading_made(&self, event: &HeadingMade) -> Result<(), PortError> {
        self.write().await?;
        self.inner.record_heading_made(event).await
    }

    async fn session(&self, user: &UserId, session: SessionId) -> Result<Lookup<Session>, PortError> {
        self.read().await?;
        self.inner.session(user, session).await
    }

    async fn sessions(&self, user: &UserId, page: &PageRequest) -> Result<Page<Session>, PortError> {
        self.read().await?;
        self.inner.sessions(user, page).await
    }

    async fn messages(
        &self,
        user: &UserId,
        session: SessionId,
        page: &PageRequest,
    ) -> Result<Page<Message>, PortError> {
        self.read().await?;
        self.inner.messages(user, session, page).await
    }

    async fn messages_of_all_branches(
        &self,
        user: &UserId,
        session: SessionId,
        page: &PageRequest,
    ) -> Result<Page<Message>, PortError> {
        self.read().await?;
        self.inner.messages_of_all_branches(user, session, page).await
    }

    async fn admission(
        &self,
        user: &UserId,
        session: SessionId,
        recent: &[TaskId],
        limit: u32,
    ) -> Result<Admission, PortError> {
        self.read().await?;
        self.inner.admission(user, session, recent, limit).await
    }

    async fn open_tasks(&self, user: &UserId, recent: &[TaskId], limit: u32) -> Result<Vec<TaskId>, PortError> {
        self.read().await?;
        self.inner.open_tasks(user, recent, limit).await
    }

    async fn turn(&self, user: &UserId, session: SessionId, turn: TurnOf) -> Result<Lookup<StoredTurn>, PortError> {
        self.read().await?;
        self.inner.turn(user, session, turn).await
    }

    async fn summary(
        &self,
        user: &UserId,
        session: SessionId,
        version: Option<u32>,
    ) -> Result<Lookup<StoredSummary>, PortError> {
        self.read().await?;
        self.inner.summary(user, session, version).await
    }

    async fn task(&self, user: &UserId, task: TaskId) -> Result<Lookup<StoredTask>, PortError> {
        self.read().await?;
        self.inner.task(user, task).await
    }

    async fn hide_response(&self, user: &UserId, task: TaskId, at: DateTime<Utc>) -> Result<(), PortError> {
        self.write().await?;
        self.inner.hide_response(user, task, at).await
    }

    async fn response_is_hidden(&self, user: &UserId, task: TaskId) -> Result<bool, PortError> {
        self.read().await?;
        self.inner.response_is_hidden(user, task).await
    }

    async fn usage(&self, user: &UserId, query: &UsageQuery) -> Result<UsageReport, PortError> {
        self.read().await?;
        self.inner.usage(user, query).await
    }

    async fn ready(&self) -> Result<(), PortError> {
        self.read().await?;
        self.inner.ready().await
    }
}
