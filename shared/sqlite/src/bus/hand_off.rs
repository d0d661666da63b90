//! Hand-off: a message that a consumer waits for is put on lease by the publish itself, and goes to the consumer from
//! memory once that is committed. The consumer is spared a transaction of its own, and who waits for a reply its time.
//!
//! A publish reserves a free slot first, so that consumers never get more than they can hold. What is handed off and never
//! fetched, since its consumer went away, is given back, or comes again when its lease runs out.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
};

use parlance_shared::port::bus::{Subscription, Topic};

use super::{
    Inner, millis,
    signals::{Dropped, Signals},
    take::Row,
};

/// One subscription's side of it.
#[derive(Default)]
pub(super) struct HandOff {
    /// Slots of all consumers that are neither used nor reserved. Negative when a consumer went away with some in use.
    free: AtomicI64,
    consumers: AtomicI64,
    /// Each with the count of seeks it belongs to. Bounded by the slots.
    handed: Mutex<VecDeque<(Row, u64)>>,
}

impl HandOff {
    pub(super) fn add_consumer(&self, slots: usize) {
        self.consumers.fetch_add(1, SeqCst);
        self.free.fetch_add(count(slots), SeqCst);
    }

    /// Gives what nobody is left to fetch.
    pub(super) fn remove_consumer(&self, slots: usize) -> Vec<Dropped> {
        self.free.fetch_sub(count(slots), SeqCst);
        if self.consumers.fetch_sub(1, SeqCst) > 1 {
            return Vec::new();
        }
        let orphans: Vec<_> = self.handed().drain(..).collect();
        self.free.fetch_add(count(orphans.len()), SeqCst);
        orphans.into_iter().map(|(row, _)| Dropped { hold: row.hold, was_delivered: false }).collect()
    }

    pub(super) fn slot_used(&self) {
        self.free.fetch_sub(1, SeqCst);
    }

    pub(super) fn slot_freed(&self) {
        self.free.fetch_add(1, SeqCst);
    }

    /// The next message that was handed off, and the count of seeks it belongs to. Its reservation ends.
    pub(super) fn fetch(&self) -> Option<(Row, u64)> {
        let row = self.handed().pop_front()?;
        self.slot_freed();
        Some(row)
    }

    fn reserve(&self) -> bool {
        self.free.fetch_update(SeqCst, SeqCst, |free| (free > 0).then_some(free - 1)).is_ok()
    }

    fn handed(&self) -> MutexGuard<'_, VecDeque<(Row, u64)>> {
        self.handed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A slot reserved for a message that is being published. Dropped unused, the slot is free again.
pub(super) struct Offer {
    name: &'static str,
    pub(super) lease_millis: i64,
    signals: Arc<Signals>,
    used: bool,
}

impl Offer {
    /// One for each subscription of the topic that has a free slot and nothing older to take.
    pub(super) fn reserve_all(inner: &Inner, topic: Topic) -> Vec<Self> {
        let mut offers = Vec::new();
        inner.each_consumer(|subscription: &Subscription, signals| {
            if subscription.topic == topic && !signals.is_ready() && signals.hand_off.reserve() {
                offers.push(Self {
                    name: subscription.name,
                    lease_millis: millis(subscription.lease),
                    signals: Arc::clone(signals),
                    used: false,
                });
            }
        });
        offers
    }

    pub(super) fn is_for(&self, subscription: &str) -> bool {
        self.name == subscription
    }

    /// Call after the commit, on the writer's thread.
    pub(super) fn hand_over(mut self, row: Row) {
        self.used = true;
        let until = row.leased_until;
        self.signals.hand_off.handed().push_back((row, self.signals.seeks()));
        self.signals.leased_until(until);
        self.signals.wake();
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        if !self.used {
            self.signals.hand_off.slot_freed();
        }
    }
}

/// Which subscriptions have an offer and until when their lease would last, as a JSON object.
pub(super) fn terms(offers: &[Offer], now: i64) -> String {
    let terms: serde_json::Map<String, serde_json::Value> =
        offers.iter().map(|offer| (offer.name.to_owned(), now.saturating_add(offer.lease_millis).into())).collect();
    serde_json::Value::from(terms).to_string()
}

fn count(slots: usize) -> i64 {
    i64::try_from(slots).unwrap_or(i64::MAX)
}
