//! Random choices that a seed repeats.

/// A source of choices.
#[derive(Clone, Debug)]
pub struct Random(fastrand::Rng);

impl Random {
    /// The same seed makes the same choices.
    pub fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// Another source, whose choices do not depend on how many this one makes later.
    pub fn fork(&mut self) -> Self {
        Self(self.0.fork())
    }

    /// From `low` up to and with `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0.u64(low..=high)
    }

    /// True in `percent` of a hundred cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.between(1, 100) <= percent
    }

    /// One of them.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        self.0.choice(from).copied()
    }
}
