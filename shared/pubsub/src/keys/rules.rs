//! What does not change while a consumer runs: its bounds, and how long it waits before it tries again.

use std::time::Duration;

/// What does not change while a consumer runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// A message that is out so long without an extension is lost by its holder.
    pub(crate) lease: Duration,
    pub(crate) retry_min: Duration,
    pub(crate) retry_max: Duration,
    /// Messages of a key beyond these are given back.
    pub(crate) per_key: usize,
    /// Messages that may be out at a time.
    pub(crate) max_out: usize,
}

impl Rules {
    /// Doubles from `retry_min` to `retry_max`, less up to a tenth by the message's id, so that messages which failed
    /// together do not come back together.
    pub(super) fn backoff(&self, attempt: u32, id: &str) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let whole = self.retry_min.saturating_mul(1 << doublings).min(self.retry_max);
        let spread = id.bytes().fold(7_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
        whole - whole.mul_f64(f64::from(spread) / 2560.0)
    }
}
