//! How long a message waits that was answered with a retry.

use std::time::Duration;

use parlance_shared::port::bus::Subscription;

/// Doubles from `retry_min` to `retry_max`, less up to a tenth, so that messages which failed together do not come back
/// together. The tenth depends on the message alone: nothing here is random.
pub(super) fn backoff(subscription: &Subscription, attempts: i64, seq: i64) -> Duration {
    let doublings = u32::try_from(attempts - 1).unwrap_or_default().min(31);
    let whole = subscription.retry_min.saturating_mul(1 << doublings).min(subscription.retry_max);
    let spread = seq.unsigned_abs().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56;
    whole - whole.mul_f64(spread as f64 / 2560.0)
}

#[cfg(test)]
mod tests {
    use parlance_shared::topology::LLM_WORKER;

    use super::*;

    #[test]
    fn doubles_up_to_the_longest_wait() {
        let mut shortest = Duration::MAX;
        for seq in 1..100 {
            let waits: Vec<_> = (1..=40).map(|attempt| backoff(&LLM_WORKER, attempt, seq)).collect();
            assert!(waits[0] <= LLM_WORKER.retry_min && waits[0] >= LLM_WORKER.retry_min.mul_f64(0.9));
            assert!(waits[1] <= waits[0] * 2 + Duration::from_nanos(2) && waits[1] > waits[0]);
            assert!(waits[39] <= LLM_WORKER.retry_max && waits[39] >= LLM_WORKER.retry_max.mul_f64(0.9));
            shortest = shortest.min(waits[0]);
        }
        assert!(shortest < LLM_WORKER.retry_min.mul_f64(0.92), "messages are spread");
    }
}
