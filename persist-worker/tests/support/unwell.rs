//! A store whose writes fail as the test says; its reads are the real one's.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

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

pub struct Unwell {
    pub store: Arc<dyn Store>,
    /// So many writes fail.
    pub failures: AtomicU32,
    /// How they fail.
    pub error: fn() -> PortError,
    /// Writes asked for.
    pub asked: AtomicU32,
}

impl Unwell {
    pub fn new(store: Arc<dyn Store>, failures: u32, error: fn() -> PortError) -> Arc<Self> {
        Arc::new(Self { store, failures: failures.into(), error, asked: 0.into() })
    }

    fn write(&self) -> Result<(), PortError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let fails = self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if fails { Err((self.error)()) } else { Ok(()) }
    }
}

pub fn busy() -> PortError {
    PortError::Unavailable { what: "store", cause: "as the test wants it".into() }
}

pub fn refused() -> PortError {
    PortError::Rejected { what: "store", cause: "as the test wants it".into() }
}

#[async_trait]
impl Store for Unwell {
    async fn record_message_submitted(&self, event: &MessageSubmitted) -> Result<(), PortError> {
        self.write()?;
        self.store.record_message_submitted(event).await
    }
    async fn record_session_changed(&self, event: &SessionChanged) -> Result<(), PortError> {
        self.write()?;
        self.store.record_session_changed(event).await
    }
    async fn record_session_deleted(&self, event: &SessionDeleted) -> Result<(), PortError> {
        self.write()?;
        self.store.record_session_deleted(event).await
    }
    async fn record_reply_completed(&self, event: &ReplyCompleted) -> Result<(), PortError> {
        self.write()?;
        self.store.record_reply_completed(event).await
    }
    async fn session(&self, user: &UserId, session: SessionId) -> Result<Lookup<Session>, PortError> {
        self.store.session(user, session).await
    }
    async fn sessions(&self, user: &UserId, page: &PageRequest) -> Result<Page<Session>, PortError> {
        self.store.sessions(user, page).await
    }
    async fn messages(
        &self,
        user: &UserId,
        session: SessionId,
        page: &PageRequest,
    ) -> Result<Page<Message>, PortError> {
        self.store.messages(user, session, page).await
    }
    async fn task(&self, user: &UserId, task: TaskId) -> Result<Lookup<StoredTask>, PortError> {
        self.store.task(user, task).await
    }
    async fn ready(&self) -> Result<(), PortError> {
        self.store.ready().await
    }
}
