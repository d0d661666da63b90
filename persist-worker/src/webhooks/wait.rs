//! When a delivery that failed is tried again.

use std::time::Duration;

use parlance_shared::topology::WEBHOOKS;

/// Doubles from one second to an hour, less up to a tenth by the delivery's id, so that those which failed together do not
/// come back together. Never longer than the delivery has been under way: the bus also counts the times that it waited in line.
pub(super) fn backoff(attempt: u32, under_way: Duration, id: &str) -> Duration {
    let doublings = attempt.saturating_sub(1).min(31);
    let by_attempt = WEBHOOKS.retry_min.saturating_mul(1 << doublings);
    let whole = by_attempt.min(under_way).clamp(WEBHOOKS.retry_min, WEBHOOKS.retry_max);
    let spread = id.bytes().fold(attempt as u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
    whole - whole.mul_f64(f64::from(spread) / 2560.0)
}

/// What the receiver asked for, within the same bounds.
pub(super) fn asked_for(wait: Duration) -> Duration {
    wait.clamp(WEBHOOKS.retry_min, WEBHOOKS.retry_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_come_ever_further_apart_over_a_day() {
        let (mut at, mut tries) = (Duration::ZERO, 0);
        while at < Duration::from_secs(24 * 3600) {
            tries += 1;
            let wait = backoff(tries, at, "x");
            assert!(wait <= WEBHOOKS.retry_max && wait >= WEBHOOKS.retry_min.mul_f64(0.9), "{wait:?}");
            at += wait;
        }
        assert!((30..50).contains(&tries), "{tries}");
    }

    #[test]
    fn neither_a_count_nor_an_age_alone_makes_a_long_wait() {
        assert!(backoff(30, Duration::from_secs(3), "x") <= Duration::from_secs(3));
        assert!(backoff(1, Duration::from_secs(7_200), "x") <= Duration::from_secs(1));
        assert_ne!(backoff(9, Duration::from_secs(7_200), "x"), backoff(9, Duration::from_secs(7_200), "y"));
        assert_eq!(asked_for(Duration::ZERO), WEBHOOKS.retry_min);
        assert_eq!(asked_for(Duration::MAX), WEBHOOKS.retry_max);
    }
}
