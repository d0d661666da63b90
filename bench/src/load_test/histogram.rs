//! Counts of durations in buckets, so that a million of them take no more room than ten. A bucket is at most 1/32 as wide as what
//! it holds, so a percentile is right within 2 %; the smallest and the largest are exact.

/// Values below this have a bucket each.
const EXACT: u64 = 64;
/// Buckets for each power of two from there on.
const PARTS: u64 = 32;
const PARTS_BITS: u32 = PARTS.trailing_zeros();

/// Whole numbers of whatever unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: Vec<u32>,
    count: u64,
    least: u64,
    most: u64,
}

impl Histogram {
    /// Adds one value.
    pub fn add(&mut self, value: u64) {
        let bucket = bucket_of(value);
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] = self.counts[bucket].saturating_add(1);
        self.least = if self.count == 0 { value } else { self.least.min(value) };
        self.most = self.most.max(value);
        self.count += 1;
    }

    /// Adds all of another one.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (mine, others) in self.counts.iter_mut().zip(&other.counts) {
            *mine = mine.saturating_add(*others);
        }
        self.least = if self.count == 0 { other.least } else { self.least.min(other.least) };
        self.most = self.most.max(other.most);
        self.count += other.count;
    }

    /// How many values it has.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The value that `part` (0 to 1) of all are not above, by nearest rank; `None` without values.
    pub fn percentile(&self, part: f64) -> Option<u64> {
        if self.count == 0 {
            return None;
        }
        let rank = ((part * self.count as f64).ceil() as u64).clamp(1, self.count);
        if rank == self.count {
            return Some(self.most);
        }
        let mut below = 0;
        let bucket = self.counts.iter().position(|count| {
            below += u64::from(*count);
            below >= rank
        });
        bucket.map(|bucket| middle_of(bucket).clamp(self.least, self.most))
    }

    /// The smallest.
    pub fn least(&self) -> Option<u64> {
        (self.count > 0).then_some(self.least)
    }

    /// The largest.
    pub fn most(&self) -> Option<u64> {
        (self.count > 0).then_some(self.most)
    }
}

fn bucket_of(value: u64) -> usize {
    if value < EXACT {
        return value as usize;
    }
    let power = value.ilog2();
    let part = (value >> (power - PARTS_BITS)) & (PARTS - 1);
    (EXACT + u64::from(power - EXACT.ilog2()) * PARTS + part) as usize
}

fn middle_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < EXACT {
        return bucket;
    }
    let (power, part) = ((bucket - EXACT) / PARTS + u64::from(EXACT.ilog2()), (bucket - EXACT) % PARTS);
    let shift = power as u32 - PARTS_BITS;
    ((PARTS + part) << shift) + (1 << shift) / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats;

    #[test]
    fn percentiles_are_close_to_those_of_the_values_themselves() {
        let mut random = fastrand::Rng::with_seed(7);
        for largest in [10_u64, 1_000, 90_000_000] {
            let values: Vec<u64> = (0..5_000).map(|_| random.u64(..largest)).collect();
            let exact: Vec<f64> = values.iter().map(|value| *value as f64).collect();
            let mut histogram = Histogram::default();
            values.iter().for_each(|value| histogram.add(*value));
            for part in [0.5, 0.9, 0.95, 0.99, 1.0] {
                let (close, right) = (histogram.percentile(part).unwrap() as f64, stats::percentile(&exact, part));
                assert!((close - right).abs() <= right * 0.02, "{part} of {largest}: {close} and not {right}");
            }
            assert_eq!(histogram.most(), values.iter().max().copied());
            assert_eq!(histogram.least(), values.iter().min().copied());
        }
    }

    #[test]
    fn halves_that_are_merged_are_the_whole_and_nothing_has_no_percentile() {
        let (mut whole, mut left, mut right) = (Histogram::default(), Histogram::default(), Histogram::default());
        for value in [5, 70, 1_000, 3, u64::MAX, 64, 63] {
            whole.add(value);
            if value % 2 == 0 { &mut left } else { &mut right }.add(value);
        }
        left.merge(&right);
        left.merge(&Histogram::default());
        assert_eq!(left, whole);
        assert_eq!((whole.percentile(1.0), whole.percentile(0.0)), (Some(u64::MAX), Some(3)));
        assert_eq!((Histogram::default().percentile(0.5), Histogram::default().most()), (None, None));
    }

    #[test]
    fn buckets_follow_each_other_and_hold_their_middle() {
        for value in (0..5_000).chain([1 << 20, (1 << 40) + 12_345, u64::MAX]) {
            let bucket = bucket_of(value);
            assert_eq!(bucket_of(middle_of(bucket)), bucket, "{value}");
            assert!(bucket_of(value.saturating_add(1)) - bucket <= 1, "{value}");
        }
    }
}
