//! What becomes of a key's first message: lost, waiting, behind another one, or given back with all that follow it.

use std::time::Duration;

use tokio::time::Instant;

use super::{First, Hold, Keys, awaited::AWAITED};

/// Nobody means a longer one.
const LONGEST_WAIT: Duration = Duration::from_secs(7 * 24 * 3600);

impl<M: Clone, H: Hold> Keys<M, H> {
    pub(super) fn wake(&mut self, now: Instant) {
        while let Some((at, key)) = self.wakes.pop_first() {
            if at > now {
                self.wakes.insert((at, key));
                return;
            }
            let Some(of_key) = self.keys.get_mut(&key) else { continue };
            match of_key.first {
                First::Waits { until } if until <= now => {
                    of_key.first = First::Ready;
                    self.ready.push_back(key);
                }
                First::Out { until, .. } if until <= now => {
                    self.out -= 1;
                    if self.closed {
                        self.give_back(&key, now);
                    } else {
                        self.first_was_lost(&key);
                    }
                }
                _ => {
                    if of_key.awaited.is_over(now) {
                        of_key.awaited.forget();
                    } else if let Some(until) = of_key.awaited.until {
                        self.wakes.insert((until, key.clone()));
                    }
                    self.forget_if_empty(&key);
                }
            }
        }
    }

    /// It comes again at once.
    pub(super) fn first_was_lost(&mut self, key: &str) {
        let Some(of_key) = self.keys.get_mut(key) else { return };
        if let Some(item) = of_key.items.front_mut() {
            item.attempt = item.attempt.saturating_add(1);
            item.unanswered = item.unanswered.saturating_add(1);
        }
        of_key.first = First::Ready;
        self.ready.push_back(key.to_owned());
    }

    pub(super) fn first_waits(&mut self, key: &str, wait: Duration, now: Instant) {
        let wait = wait.min(LONGEST_WAIT);
        let Some(of_key) = self.keys.get_mut(key) else { return };
        if wait.is_zero() {
            of_key.first = First::Ready;
            self.ready.push_back(key.to_owned());
        } else {
            of_key.first = First::Waits { until: now + wait };
            self.wakes.insert((now + wait, key.to_owned()));
        }
    }

    /// The one that was published first goes first. Later ones never do: nobody has begun with the one before them.
    pub(super) fn first_goes_behind(&mut self, key: &str, wait: Duration, now: Instant) {
        let Some(of_key) = self.keys.get_mut(key) else { return };
        if let Some(item) = of_key.items.front_mut() {
            item.unanswered = 0;
            item.attempt = item.attempt.saturating_add(1);
            item.is_behind = true;
        }
        of_key.sort();
        let is_first = of_key.items.front().is_some_and(|item| item.is_behind);
        let wait = if is_first { wait } else { Duration::ZERO };
        self.first_waits(key, wait, now);
    }

    pub(super) fn give_back(&mut self, key: &str, now: Instant) {
        let Some(of_key) = self.keys.get_mut(key) else { return };
        of_key.first = First::Ready;
        if !of_key.items.is_empty() {
            // These are before any that are awaited already.
            let before = std::mem::take(&mut of_key.awaited).order;
            of_key.items.iter().for_each(|item| of_key.awaited.await_it(&item.id));
            before.iter().for_each(|id| of_key.awaited.await_it(id));
            of_key.awaited.until = Some(now + AWAITED);
            self.wakes.insert((now + AWAITED, key.to_owned()));
        }
        for hold in of_key.items.drain(..).flat_map(|item| item.holds) {
            hold.nack();
        }
        if self.closed {
            self.keys.remove(key);
        }
    }

    pub(super) fn forget_if_empty(&mut self, key: &str) {
        if self.keys.get(key).is_some_and(|of_key| of_key.items.is_empty() && of_key.awaited.order.is_empty()) {
            self.keys.remove(key);
        }
    }
}
