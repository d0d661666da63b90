//! Keeps strangers from filling the log: one line in a while, with the number of those left out.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// Lets one event through per interval.
#[derive(Debug)]
pub(crate) struct RareLog {
    every: Duration,
    next: Mutex<Option<Instant>>,
    left_out: AtomicU64,
}

impl RareLog {
    pub(crate) fn new(every: Duration) -> Self {
        Self { every, next: Mutex::new(None), left_out: AtomicU64::new(0) }
    }

    /// Whether this event may be logged: then the number of those that were not since the last one.
    pub(crate) fn admit(&self) -> Option<u64> {
        let now = Instant::now();
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if next.is_some_and(|next| now < next) {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        *next = Some(now + self.every);
        Some(self.left_out.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_logged_and_the_others_are_counted() {
        let log = RareLog::new(Duration::from_secs(3600));
        assert_eq!(log.admit(), Some(0));
        assert_eq!((log.admit(), log.admit()), (None, None));
        let log = RareLog { every: Duration::ZERO, ..log };
        *log.next.lock().unwrap() = None;
        assert_eq!(log.admit(), Some(2));
        assert_eq!(log.admit(), Some(0));
    }
}
