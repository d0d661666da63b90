//! How long work waits for a part of the whole that does one thing after the other: the record, the bus, the worker.
//!
//! What counts is by how much its quickest answers are slower than they were at its best: a part across a network is slower
//! than one in a file, and is not overloaded for that. Answers that failed say nothing of load, and a part that does not
//! answer at all must not keep messages out that could do without it.

use std::time::Duration;

use parlance_shared::metrics::Quickest;

/// Fewer answers say nothing: one may be slow for reasons of its own.
const FEWEST: u32 = 8;
/// So many intervals may pass until there are enough; meanwhile what was found last is believed.
const LONGEST: u32 = 2;
/// By this the best is forgotten in each interval: within minutes, a part that has become slower for good is taken as it is.
const FORGOTTEN: u64 = 2_048;

/// What is known of a part, in microseconds.
#[derive(Debug)]
pub(super) struct Part {
    best: u64,
    late: u64,
    intervals: u32,
}

impl Default for Part {
    fn default() -> Self {
        Self { best: u64::MAX, late: 0, intervals: 0 }
    }
}

impl Part {
    /// At the end of an interval: the time by which even the quickest answer was late.
    pub(super) fn late(&mut self, seen: &Quickest) -> Duration {
        // At least a microsecond, so that it can grow.
        self.best = self.best.saturating_add(self.best / FORGOTTEN).saturating_add(1);
        self.intervals += 1;
        if let Some(quickest) = seen.take(FEWEST) {
            let quickest = u64::try_from(quickest.as_micros()).unwrap_or(u64::MAX);
            self.best = self.best.min(quickest);
            (self.late, self.intervals) = (quickest - self.best, 0);
        } else if self.intervals > LONGEST {
            seen.forget();
            (self.late, self.intervals) = (0, 0);
        }
        Duration::from_micros(self.late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_is_later_than_at_its_best() {
        let (mut part, seen) = (Part::default(), Quickest::default());
        let mut interval = |answers: u32, millis: u64| {
            (0..answers).for_each(|_| seen.note(Duration::from_millis(millis)));
            part.late(&seen).as_millis()
        };
        assert_eq!(interval(0, 0), 0);
        assert_eq!(interval(20, 50), 0, "far away, and always so");
        assert_eq!(interval(20, 90), 39);
        assert_eq!(interval(3, 900), 39, "too few to tell: it is as it was");
        assert_eq!(interval(5, 70), 19, "with those before they are enough");
        for _ in 0..2 * LONGEST {
            interval(1, 900);
        }
        assert_eq!(interval(0, 0), 0, "hardly anybody asks");
        assert_eq!(interval(20, 40), 0, "better than ever");
        assert_eq!(interval(20, 90), 49);
        for _ in 0..3 * 60 * 20 {
            interval(8, 90);
        }
        assert_eq!(interval(20, 90), 0, "it is like that now");
    }
}
