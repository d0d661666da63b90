//! A consumer's end of a subscription.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use chrono::DateTime;
use futures_util::future::BoxFuture;
use tracing::error;

use parlance_shared::port::{
    PortError,
    bus::{Deliveries, Delivery, Lease as _, Outcome, Reason, Received, Subscription},
};

use super::{
    Inner,
    dead_letters::read_event,
    lease::SqliteLease,
    signals::Signals,
    take::{Row, Taken, take},
};

pub(super) struct SqliteDeliveries {
    bus: Arc<Inner>,
    subscription: Subscription,
    signals: Arc<Signals>,
    slots: Arc<Slots>,
    /// A query under way. It lives here, not in the future of `next`, so that dropping that loses nothing.
    taking: Option<BoxFuture<'static, Result<Taken, PortError>>>,
    fetched: VecDeque<Fetched>,
}

/// On lease, and counted as outstanding.
struct Fetched {
    event: Arc<str>,
    replay: Option<String>,
    received: Unread,
    leased_until: i64,
    seeks: u64,
    lease: SqliteLease,
}

/// [`Received`] but for the event.
struct Unread {
    attempt: u32,
    unanswered: u32,
    published_at: i64,
}

/// Counts what is outstanding through one consumer.
pub(super) struct Slots {
    max: usize,
    used: AtomicUsize,
    signals: Arc<Signals>,
}

/// One delivery's place; free again when dropped.
pub(super) struct Slot(Arc<Slots>);

impl Slots {
    fn free(&self) -> usize {
        self.max.saturating_sub(self.used.load(SeqCst))
    }

    fn occupy(self: &Arc<Self>) -> Slot {
        self.used.fetch_add(1, SeqCst);
        self.signals.hand_off.slot_used();
        Slot(Arc::clone(self))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.signals.hand_off.slot_freed();
        if self.0.used.fetch_sub(1, SeqCst) >= self.0.max {
            self.0.signals.wake();
        }
    }
}

impl SqliteDeliveries {
    pub(super) fn new(bus: &Arc<Inner>, subscription: Subscription, max_outstanding: usize) -> Self {
        let signals = bus.signals(&subscription);
        signals.hand_off.add_consumer(max_outstanding.max(1));
        let slots = Slots { max: max_outstanding.max(1), used: AtomicUsize::new(0), signals: Arc::clone(&signals) };
        Self {
            bus: Arc::clone(bus),
            subscription,
            signals,
            slots: Arc::new(slots),
            taking: None,
            fetched: VecDeque::new(),
        }
    }

    /// Fetches until something is there.
    async fn fetch(&mut self) -> Result<Fetched, PortError> {
        loop {
            if let Some(fetched) = self.fetched.pop_front() {
                // A consumer that was slow to ask, or a seek, may have cost it the lease.
                if fetched.leased_until > self.bus.now_millis() && fetched.seeks == self.signals.seeks() {
                    return Ok(fetched);
                }
                continue;
            }
            if let Some(taking) = &mut self.taking {
                let taken = taking.await;
                self.taking = None;
                self.keep(taken?);
                continue;
            }
            let woken = self.signals.woken();
            let free = self.slots.free();
            if free == 0 {
                woken.await;
                continue;
            }
            if let Some((row, seeks)) = self.signals.hand_off.fetch() {
                drop(woken);
                self.keep_row(row, seeks);
                continue;
            }
            let wait = self.signals.due().saturating_sub(self.bus.now_millis());
            if wait <= 0 || self.signals.is_ready() {
                self.taking = Some(take(&self.bus, self.subscription, &self.signals, free, wait <= 0));
                continue;
            }
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep(Duration::from_millis(wait.unsigned_abs())) => {}
            }
        }
    }

    fn keep(&mut self, taken: Taken) {
        let seeks = taken.seeks;
        for row in taken.into_rows() {
            self.keep_row(row, seeks);
        }
    }

    fn keep_row(&mut self, row: Row, seeks: u64) {
        let Row { hold, event, replay, published_at, attempts, unanswered, leased_until } = row;
        let slot = self.slots.occupy();
        let lease = SqliteLease::new(&self.bus, self.subscription, &self.signals, hold, attempts, slot);
        let received = Unread { attempt: count(attempts), unanswered: count(unanswered), published_at };
        self.fetched.push_back(Fetched { event, replay, received, leased_until, seeks, lease });
    }
}

impl Drop for SqliteDeliveries {
    fn drop(&mut self) {
        for orphan in self.signals.hand_off.remove_consumer(self.slots.max) {
            self.signals.drop_unanswered(orphan);
        }
    }
}

#[async_trait]
impl Deliveries for SqliteDeliveries {
    async fn next(&mut self) -> Result<Delivery, PortError> {
        loop {
            let Fetched { event, replay, received, mut lease, .. } = self.fetch().await?;
            lease.deliver();
            match read_event(&event, replay.as_deref()) {
                Ok(event) => {
                    let received = Received {
                        event,
                        ordering_key: lease.ordering_key().to_owned(),
                        attempt: received.attempt,
                        unanswered: received.unanswered,
                        published_at: DateTime::from_timestamp_millis(received.published_at).unwrap_or_default(),
                    };
                    return Ok(Delivery { received, lease: Box::new(lease) });
                }
                // It must not stop those behind it.
                Err(error) => {
                    error!(bus.subscription = self.subscription.name, %error, "a stored event can't be read");
                    let reason = Reason::new("unreadable_event", format!("The stored event can't be read: {error}."));
                    Box::new(lease).settle(Outcome::Fail(reason)).await?;
                }
            }
        }
    }
}

pub(super) fn count(stored: i64) -> u32 {
    u32::try_from(stored).unwrap_or(u32::MAX)
}
