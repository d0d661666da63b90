//! The bus on the one SQLite file, for one process.
//!
//! A message is a row of `bus_messages`; each subscription of its topic has a row of `bus_deliveries` for it until it is
//! done. Of the rows of an ordering key only the earliest, its *head*, may be delivered.
//!
//! What costs what: a publish is two statements, a delivery none if a consumer waits for it (see `hand_off`) or else one
//! (shared by the messages that are ready together), an answer one, or two when another message of the key waits. Nothing polls:
//! consumers sleep until a commit wakes them or until the earliest lease or wait ends (see `signals`).
//!
//! A delivery counts as unanswered, durably, from the moment it is taken, so a message that kills the process each time
//! is noticed. Leases are fenced by a token: an answer that comes after its lease was lost changes nothing.

mod admin;
mod answer;
mod backoff;
mod dead_letters;
mod ensure;
pub(crate) mod forget;
mod hand_off;
mod janitor;
mod lease;
mod publish;
mod receive;
mod signals;
mod stats;
mod take;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use cloudevents::Event;
use tokio::sync::OnceCell;

use parlance_shared::port::{
    PortError,
    bus::{Bus, Deliveries, Published, Subscription, Topic},
};

use self::{receive::SqliteDeliveries, signals::Signals};
use crate::Database;

pub use self::{dead_letters::SqliteDeadLetters, stats::SubscriptionStats};

const WHAT: &str = "the bus";

/// How the bus keeps its messages.
#[derive(Clone, Copy, Debug)]
pub struct BusOptions {
    /// Messages that every subscription has done are kept for so long, to be told from duplicates and to be replayed.
    pub retention: Duration,
    /// The time between two sweeps of the janitor.
    pub sweep_every: Duration,
}

impl Default for BusOptions {
    fn default() -> Self {
        Self { retention: Duration::from_secs(7 * 24 * 3600), sweep_every: Duration::from_secs(3600) }
    }
}

/// The embedded bus. Clones share it; **make one per [`Database`]**: consumers are woken only by what goes through the
/// same bus, and a bus takes back at its start whatever was on lease.
#[derive(Clone)]
pub struct SqliteBus {
    inner: Arc<Inner>,
}

struct Inner {
    database: Database,
    options: BusOptions,
    /// Counts changes that make messages ready, in the order of the writer. See [`Signals`].
    changes: AtomicU64,
    /// The latest fencing token. Earlier processes' leases are gone before the first is handed out.
    tokens: AtomicI64,
    /// The latest time that was read.
    latest: AtomicI64,
    /// Set once the leases of the dead process were taken back.
    recovered: OnceCell<()>,
    /// By the name of the subscription; only those that were subscribed to in this process.
    consumers: Mutex<HashMap<&'static str, (Subscription, Arc<Signals>)>>,
}

impl SqliteBus {
    /// The bus in this database.
    pub fn new(database: Database) -> Self {
        Self::with_options(database, BusOptions::default())
    }

    /// The bus in this database, with options.
    pub fn with_options(database: Database, options: BusOptions) -> Self {
        Self {
            inner: Arc::new(Inner {
                database,
                options,
                changes: AtomicU64::new(1),
                tokens: AtomicI64::new(0),
                latest: AtomicI64::new(i64::MIN),
                recovered: OnceCell::new(),
                consumers: Mutex::default(),
            }),
        }
    }

    /// Makes waiting consumers look at the clock again: for tests, which move a manual clock while consumers sleep.
    pub fn wake_all(&self) {
        self.inner.each_consumer(|_, signals| signals.wake());
    }
}

impl Inner {
    /// What the consumers of a subscription share; made at the first call.
    fn signals(&self, subscription: &Subscription) -> Arc<Signals> {
        let mut consumers = self.consumers.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, signals) =
            consumers.entry(subscription.name).or_insert_with(|| (*subscription, Arc::new(Signals::new())));
        Arc::clone(signals)
    }

    fn each_consumer(&self, mut f: impl FnMut(&Subscription, &Arc<Signals>)) {
        let consumers = self.consumers.lock().unwrap_or_else(PoisonError::into_inner);
        consumers.values().for_each(|(subscription, signals)| f(subscription, signals));
    }

    fn now_millis(&self) -> i64 {
        let now = self.database.clock().now_millis();
        self.latest.fetch_max(now, SeqCst);
        now
    }

    /// Whether the clock was set back: what was ready may not be, yet.
    fn is_set_back(&self) -> bool {
        self.latest.load(SeqCst) > self.database.clock().now_millis()
    }
}

#[async_trait]
impl Bus for SqliteBus {
    async fn ensure(&self, subscriptions: &[Subscription]) -> Result<(), PortError> {
        ensure::ensure(&self.inner, subscriptions).await
    }

    async fn publish(&self, topic: Topic, ordering_key: &str, event: Event) -> Result<Published, PortError> {
        publish::publish(&self.inner, topic, ordering_key.to_owned(), &event).await
    }

    async fn subscribe(
        &self,
        subscription: Subscription,
        max_outstanding: usize,
    ) -> Result<Box<dyn Deliveries>, PortError> {
        ensure::check_exists(&self.inner, &subscription).await?;
        Ok(Box::new(SqliteDeliveries::new(&self.inner, subscription, max_outstanding)))
    }
}

fn rejected(cause: impl std::fmt::Display) -> PortError {
    PortError::Rejected { what: WHAT, cause: cause.to_string() }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
