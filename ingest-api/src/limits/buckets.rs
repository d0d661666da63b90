//! How often somebody may call: the generic cell rate algorithm, one number for each caller.
//!
//! That number is the time at which all that was taken will have been given back. Once it is past, the caller stands as one
//! who never called, so forgetting them changes nothing; that keeps memory bounded however many addresses call. When more are
//! owed than there is room for, those who owe least are forgotten first: whoever is over the limit stays so.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, Hash, RandomState},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use parlance_shared::settings::Rate;

/// Callers of one shard wait for one another.
const SHARDS: usize = 16;

/// Callers that are kept in mind at most.
const CALLERS: usize = 64 * 1024;

/// The callers' standing under one rate.
#[derive(Debug)]
pub(crate) struct Buckets<K> {
    shards: Vec<Mutex<HashMap<K, u64>>>,
    /// Keyed at random: nobody outside can choose whom they share a shard with.
    hasher: RandomState,
    rate: Rate,
    /// In nanoseconds, as all times here.
    window: u64,
    interval: u64,
}

/// How a caller stands after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level {
    /// The rate that is meant.
    pub(crate) rate: Rate,
    /// Calls that could follow at once.
    pub(crate) remaining: u32,
    /// Where the call was refused: until one can be made. Else until as many as ever can be made.
    pub(crate) reset: Duration,
}

impl<K: Hash + Eq> Buckets<K> {
    pub(crate) fn new(rate: Rate) -> Self {
        let window = u64::try_from(rate.per.as_nanos()).unwrap_or(u64::MAX);
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            rate,
            window,
            interval: (window / u64::from(rate.requests.max(1))).max(1),
        }
    }

    /// Takes one call from the caller's due; an error when nothing is due. `now` is the time since any fixed moment.
    pub(crate) fn take(&self, caller: K, now: Duration) -> Result<Level, Level> {
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let shard = self.hasher.hash_one(&caller) as usize % SHARDS;
        let mut shard = self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner);
        let owed_until = shard.get(&caller).copied().unwrap_or(0).max(now) + self.interval;
        let owed = owed_until - now;
        if let Some(early) = owed.checked_sub(self.window).filter(|early| *early > 0) {
            return Err(self.level(0, early));
        }
        if shard.len() >= CALLERS / SHARDS && !shard.contains_key(&caller) {
            make_room(&mut shard, now);
        }
        shard.insert(caller, owed_until);
        let remaining = u32::try_from((self.window - owed) / self.interval).unwrap_or(u32::MAX);
        Ok(self.level(remaining, owed))
    }

    fn level(&self, remaining: u32, reset: u64) -> Level {
        Level { rate: self.rate, remaining, reset: Duration::from_nanos(reset) }
    }

    #[cfg(test)]
    fn kept(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap().len()).sum()
    }
}

/// Makes half of the room free, so that this is done once in thousands of calls.
fn make_room<K: Hash + Eq>(shard: &mut HashMap<K, u64>, now: u64) {
    let before = shard.len();
    shard.retain(|_, owed_until| *owed_until > now);
    if shard.len() > before / 2 {
        let mut owed: Vec<u64> = shard.values().copied().collect();
        let middle = owed.len() / 2;
        let (_, median, _) = owed.select_nth_unstable(middle);
        let median = *median;
        shard.retain(|_, owed_until| *owed_until > median);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn buckets(requests: u32, seconds: u64) -> Buckets<u64> {
        Buckets::new(Rate { requests, per: Duration::from_secs(seconds) })
    }

    #[test]
    fn what_is_taken_comes_back_evenly() {
        let (buckets, start) = (buckets(10, 10), Duration::from_secs(100));
        for left in (0..10).rev() {
            assert_eq!(buckets.take(1, start).unwrap().remaining, left);
        }
        let refused = buckets.take(1, start).unwrap_err();
        assert_eq!((refused.remaining, refused.reset), (0, Duration::from_secs(1)));
        assert_eq!(buckets.take(2, start).unwrap().remaining, 9, "another one's due is their own");
        assert!(buckets.take(1, start + Duration::from_millis(999)).is_err());
        assert!(buckets.take(1, start + Duration::from_secs(1)).is_ok());
        assert!(
            buckets.take(1, start + Duration::from_secs(1)).is_err(),
            "being refused costs nothing, waiting gives one"
        );
        let rested = buckets.take(1, start + Duration::from_secs(60)).unwrap();
        assert_eq!((rested.remaining, rested.reset), (9, Duration::from_secs(1)));
    }

    #[test]
    fn a_million_callers_need_no_more_room_and_the_greedy_are_remembered() {
        let buckets = buckets(5, 3_600);
        let now = Duration::from_secs(10);
        let greedy = u64::MAX;
        while buckets.take(greedy, now).is_ok() {}
        for caller in 0..1_000_000 {
            assert!(buckets.take(caller, now).is_ok());
            if caller % 100_000 == 0 {
                assert!(buckets.kept() <= CALLERS, "{}", buckets.kept());
                assert!(buckets.take(greedy, now).is_err(), "after {caller}");
            }
        }
        assert!(buckets.kept() <= CALLERS);
    }

    proptest! {
        /// Whatever the pauses, no more come through than the bucket holds and the rate gives.
        #[test]
        fn no_more_than_the_rate_comes_through(pauses in prop::collection::vec(0_u64..2_000, 1..200)) {
            let buckets = buckets(8, 4);
            let (mut now, mut taken) = (0, 0_u64);
            for pause in pauses {
                now += pause;
                taken += u64::from(buckets.take(7, Duration::from_millis(now)).is_ok());
            }
            prop_assert!(taken <= 8 + now / 500, "{taken} in {now} ms");
        }
    }
}
