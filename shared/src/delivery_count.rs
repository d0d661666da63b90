//! What Pub/Sub's count of deliveries says about a message, for the adapters that pull and that are pushed to.

use crate::port::bus::Subscription;

/// Pub/Sub's own dead-letter policy acts after so many deliveries: the most that it takes. It is the second net; the first
/// is the consumer, which must act before.
pub const MAX_DELIVERY_ATTEMPTS: u32 = 100;

/// [`crate::port::bus::Received::unanswered`] of a delivery that Pub/Sub counts as its `delivery_attempt`th.
///
/// Pub/Sub counts deliveries, but can't tell those that ended without an answer from those that were answered with a retry;
/// a handler that retries for long must not be taken for one that crashes. So only the last deliveries before Pub/Sub's
/// own policy acts count as unanswered: with the last one the consumer gives the message up itself, with a reason.
pub fn unanswered(delivery_attempt: u32, subscription: &Subscription) -> u32 {
    delivery_attempt.saturating_sub(MAX_DELIVERY_ATTEMPTS.saturating_sub(subscription.max_unanswered))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::LLM_WORKER;

    #[test]
    fn only_the_last_delivery_before_the_policy_is_given_up() {
        let given_up = |attempt| unanswered(attempt, &LLM_WORKER) >= LLM_WORKER.max_unanswered;
        assert_eq!(unanswered(1, &LLM_WORKER), 0);
        assert!(!given_up(MAX_DELIVERY_ATTEMPTS - 1));
        assert!(given_up(MAX_DELIVERY_ATTEMPTS));
        assert!(given_up(u32::MAX));
    }
}
