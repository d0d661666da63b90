//! A store that can't be used, or only read.

use std::sync::Arc;

use async_trait::async_trait;
use parlance_shared::{
    SessionId, TaskId, UserId,
    event::{MessageSubmitted, ReplyCompleted, SessionChanged, SessionDeleted},
    message::Message,
    page::{Page, PageRequest},
    port::{
        PortError,
        store::{Lookup, Store, StoredTask},
    },
    session::Session,
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

    async fn task(&self, user: &UserId, task: TaskId) -> Result<Lookup<StoredTask>, PortError> {
        self.read().await?;
        self.inner.task(user, task).await
    }

    async fn ready(&self) -> Result<(), PortError> {
        self.read().await?;
        self.inner.ready().await
    }
}
