//! How late tokens were, counted.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

const MICROS_PER_BUCKET: u64 = 100;
/// 20 s; what is later counts as that.
const BUCKETS: usize = 200_000;

/// A histogram, shared by all readers.
pub(super) struct Arrivals {
    buckets: Vec<AtomicU32>,
    open_streams: AtomicUsize,
    counts: AtomicBool,
}

impl Default for Arrivals {
    fn default() -> Self {
        let buckets = (0..BUCKETS).map(|_| AtomicU32::new(0)).collect();
        Self { buckets, open_streams: AtomicUsize::new(0), counts: AtomicBool::new(false) }
    }
}

impl Arrivals {
    /// One more stream runs.
    pub(super) fn opened(&self) {
        self.open_streams.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn open_streams(&self) -> usize {
        self.open_streams.load(Ordering::Relaxed)
    }

    pub(super) fn count_from_now(&self) {
        self.counts.store(true, Ordering::Relaxed);
    }

    pub(super) fn count_no_more(&self) {
        self.counts.store(false, Ordering::Relaxed);
    }

    /// A token arrived so many microseconds after it was sent.
    pub(super) fn add(&self, micros: i64) {
        if self.counts.load(Ordering::Relaxed) {
            let bucket = (micros.max(0) as u64 / MICROS_PER_BUCKET) as usize;
            self.buckets[bucket.min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| u64::from(bucket.load(Ordering::Relaxed))).sum()
    }

    /// The delay in milliseconds below which `part` (0 to 1) of the tokens were: the upper edge of its bucket.
    pub(super) fn percentile(&self, part: f64) -> f64 {
        let rank = (part * self.count() as f64).ceil() as u64;
        let mut below = 0;
        for (number, bucket) in self.buckets.iter().enumerate() {
            below += u64::from(bucket.load(Ordering::Relaxed));
            if below >= rank && below > 0 {
                return ((number as u64 + 1) * MICROS_PER_BUCKET) as f64 / 1e3;
            }
        }
        f64::NAN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arrives_in_the_window_is_ranked() {
        let arrivals = Arrivals::default();
        arrivals.add(9_000_000);
        arrivals.count_from_now();
        for ms in 0..100 {
            arrivals.add(ms * 1_000 + 50);
        }
        arrivals.count_no_more();
        arrivals.add(9_000_000);
        assert_eq!(arrivals.count(), 100);
        assert_eq!((arrivals.percentile(0.5), arrivals.percentile(0.99)), (49.1, 98.1));
        assert!(Arrivals::default().percentile(0.5).is_nan());
    }
}
