//! The bus on Google Cloud Pub/Sub: streaming pull, and its operator's side.
//!
//! Pub/Sub hands over messages of an ordering key without waiting for the acknowledgement of the one before, so that the
//! order of work is kept here ([`keys`]): of each key the earliest message is out, the later ones are held, on lease,
//! behind it. Retries are waited for here, too: giving a message back would give up its lease, and its place on a bus that
//! is less strict than Pub/Sub. What is given back is given back with all that follows it.
//!
//! Messages that a consumer gives up are published to the dead-letter topic of their subscription with the reason, then
//! acknowledged. The subscription's own dead-letter policy is a second net below ([`setup`]).

mod admin;
mod clients;
mod dead_letters;
mod error;
mod keys;
mod lease;
mod message;
mod names;
mod publish;
mod receive;
pub mod setup;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use cloudevents::Event;
use parlance_shared::{
    Clock, Lifecycle,
    port::{
        PortError,
        bus::{
            Bus, BusAdmin, DeadLetterSink, DeadLetters, Deliveries, Published, Reason, Received, Subscription, Topic,
        },
    },
};
use tokio::runtime::Handle;

use self::{clients::Clients, names::Names, publish::Publishing};

pub use self::message::{MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTES, MAX_MESSAGE_BYTES, MAX_ORDERING_KEY_BYTES, unreadable};

/// In errors.
const WHAT: &str = "Pub/Sub";

/// Where Pub/Sub is, and as whom to go there.
#[derive(Clone, Debug)]
pub struct PubSubOptions {
    /// The Google Cloud project.
    pub project: String,
    /// `host:port` of Google's emulator; without it the real service, with the credentials of the environment.
    pub emulator_host: Option<String>,
    /// Stamps dead letters.
    pub clock: Clock,
    /// Of at most so many messages of one key the later ones wait here for the earlier; those beyond go back to Pub/Sub.
    pub held_per_key: usize,
    /// So many messages at most are held by one consumer, on lease; Pub/Sub sends no more.
    pub held: usize,
    /// So many bytes of messages at most are held by one consumer.
    pub held_bytes: usize,
}

impl PubSubOptions {
    /// With what suits workers.
    pub fn new(project: impl Into<String>, emulator_host: Option<String>) -> Self {
        Self {
            project: project.into(),
            emulator_host,
            clock: Clock::system(),
            held_per_key: 250,
            held: 5_000,
            held_bytes: 64 << 20,
        }
    }
}

/// The bus. Clones share their connections.
#[derive(Clone)]
pub struct PubSubBus {
    inner: Arc<Inner>,
}

struct Inner {
    options: PubSubOptions,
    names: Names,
    clients: Clients,
    publishing: Publishing,
    lifecycle: Lifecycle,
    /// Where everything runs that was begun here, whoever calls.
    runtime: Handle,
}

impl PubSubBus {
    /// Reads the credentials; connects at the first use. Everything runs on the caller's runtime, tracked by the
    /// lifecycle: its [`Lifecycle::stop`] waits until answers are with Pub/Sub.
    ///
    /// # Errors
    /// [`PortError::Rejected`] when there are no credentials, or the address is none.
    pub async fn connect(options: PubSubOptions, lifecycle: Lifecycle) -> Result<Self, PortError> {
        let clients = Clients::new(&options)?;
        let publishing = Publishing::new(clients.clone());
        let names = Names::new(&options.project);
        let runtime = Handle::current();
        let bus = Self { inner: Arc::new(Inner { options, names, clients, publishing, lifecycle, runtime }) };
        bus.inner.publishing.prepare().await?;
        Ok(bus)
    }

    /// Whether this is the emulator.
    pub fn is_emulator(&self) -> bool {
        self.inner.is_emulator()
    }
}

impl Inner {
    fn is_emulator(&self) -> bool {
        self.options.emulator_host.is_some()
    }
}

#[async_trait]
impl Bus for PubSubBus {
    async fn ensure(&self, subscriptions: &[Subscription]) -> Result<(), PortError> {
        setup::ensure(&self.inner, subscriptions).await
    }

    async fn publish(&self, topic: Topic, ordering_key: &str, event: Event) -> Result<Published, PortError> {
        let message = message::of_event(&event, ordering_key)?;
        self.inner.publishing.publish(&self.inner.names.topic(topic.0), message).await?;
        Ok(Published::New)
    }

    async fn subscribe(
        &self,
        subscription: Subscription,
        max_outstanding: usize,
    ) -> Result<Box<dyn Deliveries>, PortError> {
        Ok(Box::new(receive::subscribe(&self.inner, subscription, max_outstanding).await?))
    }
}

#[async_trait]
impl DeadLetterSink for PubSubBus {
    async fn keep(&self, subscription: Subscription, received: &Received, reason: &Reason) -> Result<(), PortError> {
        let message = message::of_event(&received.event, &received.ordering_key)?;
        let attempts = received.attempt;
        dead_letters::keep(&self.inner, &subscription, &message, received.published_at, attempts, reason).await
    }
}

#[async_trait]
impl BusAdmin for PubSubBus {
    async fn dead_letters(&self, subscription: Subscription) -> Result<Box<dyn DeadLetters>, PortError> {
        Ok(Box::new(admin::Pass::begin(&self.inner, subscription).await?))
    }

    /// Pub/Sub does not look at ids of events: this is a publish.
    async fn replay(&self, topic: Topic, ordering_key: &str, event: Event) -> Result<(), PortError> {
        self.publish(topic, ordering_key, event).await.map(drop)
    }

    /// Takes effect within a minute or so; messages that are out when it is called are still answered by their consumers.
    async fn seek(&self, subscription: Subscription, to: DateTime<Utc>) -> Result<Option<u64>, PortError> {
        admin::seek(&self.inner, &subscription, to).await?;
        Ok(None)
    }
}

/// Bounds a call that leaves the process.
async fn bounded<T>(
    action: &str,
    limit: Duration,
    call: impl Future<Output = Result<T, PortError>>,
) -> Result<T, PortError> {
    match tokio::time::timeout(limit, call).await {
        Ok(result) => result,
        Err(_) => Err(PortError::Unavailable { what: WHAT, cause: format!("{action}: no answer within {limit:?}") }),
    }
}
