//! The bus: durable topics, subscriptions with leases, ordering keys, retries, dead letters and seek.
//!
//! What every adapter keeps:
//! - a published message survives `kill -9`; each subscription of its topic gets it at least once;
//! - of one ordering key at most one message of a subscription is out at a time, the earliest first; the next one follows
//!   once it is acknowledged or dead-lettered;
//! - a delivery that is dropped without an answer, or whose lease runs out, comes again;
//! - a dead letter keeps the event and the reason until an operator redrives or discards it.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use cloudevents::Event;

use super::PortError;
use crate::{UserId, replay::Replay};

/// A named stream of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Topic(pub &'static str);

/// A consumer group on a topic: each message goes to one of its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Its name, unique on the bus.
    pub name: &'static str,
    /// The topic it reads.
    pub topic: Topic,
    /// How long a delivery may stay unanswered before it comes again; consumers extend it while they work.
    pub lease: Duration,
    /// The wait before the first redelivery of a message that was answered with a retry; doubles up to `retry_max`.
    pub retry_min: Duration,
    /// The longest wait between redeliveries.
    pub retry_max: Duration,
    /// So many deliveries in a row may end without any answer (a crash, a panic) before the message is dead-lettered.
    pub max_unanswered: u32,
}

/// What publishing did.
#[derive(Clone, Debug, PartialEq)]
pub enum Published {
    /// The message is durable.
    New,
    /// The bus still holds a message with this event id on this topic; nothing was added. Holds the earlier event.
    /// A bus that can't know this (Pub/Sub) answers [`Published::New`].
    Duplicate(Box<Event>),
}

/// Publishes and consumes events.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Creates topics and subscriptions that are missing. A new subscription gets what is published from then on.
    async fn ensure(&self, subscriptions: &[Subscription]) -> Result<(), PortError>;

    /// Returns once the event is durable for every subscription of the topic.
    async fn publish(&self, topic: Topic, ordering_key: &str, event: Event) -> Result<Published, PortError>;

    /// Starts to receive. At most `max_outstanding` deliveries are out at a time through the returned handle.
    async fn subscribe(
        &self,
        subscription: Subscription,
        max_outstanding: usize,
    ) -> Result<Box<dyn Deliveries>, PortError>;
}

/// Receives the deliveries of one subscription.
#[async_trait]
pub trait Deliveries: Send {
    /// Waits for the next delivery. Cancel-safe: a delivery is never lost by dropping the future.
    async fn next(&mut self) -> Result<Delivery, PortError>;
}

/// One message, on lease to one consumer.
pub struct Delivery {
    /// What was published.
    pub received: Received,
    /// The hold on it.
    pub lease: Box<dyn Lease>,
}

/// A message as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// The event.
    pub event: Event,
    /// Its ordering key.
    pub ordering_key: String,
    /// How many times it was delivered, this time included.
    pub attempt: u32,
    /// How many of the latest deliveries in a row got no answer, this one not included.
    pub unanswered: u32,
    /// When it was published.
    pub published_at: DateTime<Utc>,
}

/// The hold on a delivery. Dropped without [`Lease::settle`], the message comes again at once.
#[async_trait]
pub trait Lease: Send {
    /// Holds it for the subscription's lease from now.
    async fn extend(&mut self) -> Result<(), PortError>;
    /// Answers it. An error means that the answer may be lost: the message may come again.
    async fn settle(self: Box<Self>, outcome: Outcome) -> Result<(), PortError>;
}

/// A consumer's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All its effects are committed.
    Done,
    /// Not now: deliver it again after the given wait, or after the subscription's backoff.
    Retry {
        /// The wait; `None` leaves it to the subscription's backoff.
        after: Option<Duration>,
        /// Why, for the log and for the dead letter it may become.
        reason: Reason,
    },
    /// An earlier message of its key must be worked on first and may have arrived after it: deliver the others of its key
    /// that are here, then this one again; after the wait if there are none.
    Behind {
        /// The wait.
        after: Duration,
        /// Why, for the log.
        reason: Reason,
    },
    /// The worker is stopping: another one should have it at once. Not counted as an attempt at fault.
    HandBack,
    /// It can never work, or was given up: keep it in the dead letters.
    Fail(Reason),
}

/// Why a message was retried or given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// A stable code.
    pub code: String,
    /// A sentence for the operator.
    pub message: String,
}

impl Reason {
    /// A reason from a code and a sentence.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }
}

/// A message that was given up.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Names it on this bus.
    pub id: String,
    /// The subscription that gave it up.
    pub subscription: String,
    /// The event.
    pub event: Event,
    /// Its ordering key.
    pub ordering_key: String,
    /// Why.
    pub reason: Reason,
    /// After how many deliveries.
    pub attempts: u32,
    /// When it was published.
    pub published_at: DateTime<Utc>,
    /// When it was given up.
    pub dead_at: DateTime<Utc>,
}

/// Keeps messages that were given up by a consumer whose deliveries take no reason for an answer (HTTP push).
#[async_trait]
pub trait DeadLetterSink: Send + Sync + 'static {
    /// Returns once the letter is durable. May be repeated: a message that was given up twice is two letters at worst.
    async fn keep(&self, subscription: Subscription, received: &Received, reason: &Reason) -> Result<(), PortError>;
}

/// What operators do to a bus.
#[async_trait]
pub trait BusAdmin: Send + Sync + 'static {
    /// Begins to look through the dead letters of a subscription.
    async fn dead_letters(&self, subscription: Subscription) -> Result<Box<dyn DeadLetters>, PortError>;

    /// Delivers an event to every subscription of its topic, also when the bus knows its id and has done it long ago. The
    /// event carries the operator's mark ([`crate::replay::Replay`]).
    async fn replay(&self, topic: Topic, ordering_key: &str, event: Event) -> Result<(), PortError>;

    /// Makes the subscription stand at `to`: retained messages published at or after it are delivered (again), earlier
    /// ones count as done. Dead letters stay where they are. Gives the number of messages now waiting, if the bus knows.
    async fn seek(&self, subscription: Subscription, to: DateTime<Utc>) -> Result<Option<u64>, PortError>;

    /// Forgets all messages of a user that were published until `until`: those that wait, those that are kept for a replay, and
    /// dead letters. Gives their number; `None` where a bus can't take back what was published: there it goes when the bus'
    /// retention ends, and dead letters are to be looked through.
    async fn forget_user(&self, _user: &UserId, _until: DateTime<Utc>) -> Result<Option<u64>, PortError> {
        Ok(None)
    }
}

/// One look through the dead letters of a subscription. What is neither redriven nor discarded stays; a bus that hands
/// letters out on lease takes them back when this is dropped.
#[async_trait]
pub trait DeadLetters: Send {
    /// The next ones, oldest first where the bus knows an order, at most 1,000; empty once all were seen.
    async fn next_page(&mut self) -> Result<Vec<DeadLetter>, PortError>;

    /// Delivers a letter of an earlier page again, to its own subscription alone, with the operator's mark on its event.
    /// False when it is no longer there.
    async fn redrive(&mut self, id: &str, replay: &Replay) -> Result<bool, PortError>;

    /// Forgets a letter of an earlier page. False when it is no longer there.
    async fn discard(&mut self, id: &str) -> Result<bool, PortError>;
}
