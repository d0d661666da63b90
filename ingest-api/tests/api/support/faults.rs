//! Adapters that fail when told to.

use std::sync::{
    Arc,
    atomic::{AtomicU8, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use parlance_shared::{
    SessionId, TaskId, UserId,
    event::{MessageSubmitted, ReplyCompleted, SessionChanged, SessionDeleted},
    message::Message,
    page::{Page, PageRequest},
    port::{
        PortError,
        bus::{Bus, Deliveries, Published, Subscription, Topic},
        store::{Lookup, Store, StoredTask},
    },
    session::Session,
};
use parlance_sqlite::{SqliteBus, SqliteStore};

/// How a port behaves.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub enum Fault {
    None,
    Unavailable,
    Full,
    Rejected,
    Hangs,
}

#[derive(Clone, Default)]
struct Switch(Arc<AtomicU8>);

impl Switch {
    async fn pass(&self) -> Result<(), PortError> {
        let (what, cause) = ("port", "secret inner detail".to_owned());
        match self.0.load(Ordering::SeqCst) {
            0 => Ok(()),
            1 => Err(PortError::Unavailable { what, cause }),
            2 => Err(PortError::Full { what, cause }),
            3 => Err(PortError::Rejected { what, cause }),
            _ => std::future::pending().await,
        }
    }
}

#[derive(Clone)]
pub struct FaultyBus {
    inner: SqliteBus,
    switch: Switch,
}

impl FaultyBus {
    pub fn new(inner: SqliteBus) -> Self {
        Self { inner, switch: Switch::default() }
    }

    pub fn set(&self, fault: Fault) {
        self.switch.0.store(fault as u8, Ordering::SeqCst);
    }
}

#[async_trait]
impl Bus for FaultyBus {
    async fn ensure(&self, subscriptions: &[Subscription]) -> Result<(), PortError> {
        self.inner.ensure(subscriptions).await
    }

    async fn publish(&self, topic: Topic, key: &str, event: cloudevents::Event) -> Result<Published, PortError> {
        self.switch.pass().await?;
        self.inner.publish(topic, key, event).await
    }

    async fn subscribe(&self, subscription: Subscription, max: usize) -> Result<Box<dyn Deliveries>, PortError> {
        self.inner.subscribe(subscription, max).await
    }
}

#[derive(Clone)]
pub struct FaultyStore {
    inner: SqliteStore,
    switch: Switch,
    /// Calls so far.
    pub calls: Arc<AtomicUsize>,
}

impl FaultyStore {
    pub fn new(inner: SqliteStore) -> Self {
        Self { inner, switch: Switch::default(), calls: Arc::default() }
    }

    pub fn set(&self, fault: Fault) {
        self.switch.0.store(fault as u8, Ordering::SeqCst);
    }

    /// Writes an accepted message into the record.
    pub async fn record(&self, event: &MessageSubmitted) {
        self.inner.record_message_submitted(event).await.unwrap();
    }

    async fn pass(&self) -> Result<(), PortError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.switch.pass().await
    }
}

#[async_trait]
impl Store for FaultyStore {
    async fn record_message_submitted(&self, event: &MessageSubmitted) -> Result<(), PortError> {
        self.pass().await?;
        self.inner.record_message_submitted(event).await
    }

    async fn record_session_changed(&self, event: &SessionChanged) -> Result<(), PortError> {
        self.pass().await?;
        self.inner.record_session_changed(event).await
    }

    async fn record_session_deleted(&self, event: &SessionDeleted) -> Result<(), PortError> {
        self.pass().await?;
        self.inner.record_session_deleted(event).await
    }

    async fn record_reply_completed(&self, event: &ReplyCompleted) -> Result<(), PortError> {
        self.pass().await?;
        self.inner.record_reply_completed(event).await
    }

    async fn session(&self, user: &UserId, session: SessionId) -> Result<Lookup<Session>, PortError> {
        self.pass().await?;
        self.inner.session(user, session).await
    }

    async fn sessions(&self, user: &UserId, page: &PageRequest) -> Result<Page<Session>, PortError> {
        self.pass().await?;
        self.inner.sessions(user, page).await
    }

    async fn messages(
        &self,
        user: &UserId,
        session: SessionId,
        page: &PageRequest,
    ) -> Result<Page<Message>, PortError> {
        self.pass().await?;
        self.inner.messages(user, session, page).await
    }

    async fn task(&self, user: &UserId, task: TaskId) -> Result<Lookup<StoredTask>, PortError> {
        self.pass().await?;
        self.inner.task(user, task).await
    }

    async fn ready(&self) -> Result<(), PortError> {
        self.pass().await?;
        self.inner.ready().await
    }
}
