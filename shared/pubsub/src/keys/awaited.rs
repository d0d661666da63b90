//! What of one key was given back and is to come again, before anything else of the key.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

/// How long the next of what was given back is waited for.
pub(super) const AWAITED: Duration = Duration::from_secs(10);
/// Of one key; beyond, the order is the bus's.
const MOST_AWAITED: usize = 20_000;

/// The ids of what was given back and has not come again, in order, and until when it is waited for: another consumer may
/// have got it.
#[derive(Default)]
pub(super) struct Awaited {
    pub(super) order: VecDeque<String>,
    ids: HashSet<String>,
    pub(super) until: Option<Instant>,
}

impl Awaited {
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until <= now)
    }

    /// Whether a message that arrives is not the next one. If so it is awaited, too.
    pub(super) fn puts_off(&mut self, id: &str, now: Instant) -> bool {
        if self.is_over(now) {
            self.forget();
        }
        match self.order.front() {
            None => false,
            Some(next) if next == id => false,
            Some(_) => {
                self.await_it(id);
                true
            }
        }
    }

    pub(super) fn await_it(&mut self, id: &str) {
        if self.order.len() < MOST_AWAITED && self.ids.insert(id.to_owned()) {
            self.order.push_back(id.to_owned());
        }
    }

    /// The next one came: the bus is delivering to us again.
    pub(super) fn came(&mut self, now: Instant) {
        if let Some(id) = self.order.pop_front() {
            self.ids.remove(&id);
            self.until = Some(now + AWAITED);
        }
        if self.order.is_empty() {
            self.forget();
        }
    }

    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}
