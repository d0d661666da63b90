//! After a failed attempt: wait how long for the next one, or give up?

use std::time::Duration;

use parlance_shared::{
    providers::Onward,
    retry::{Retries, RetryPolicy},
    settings::TurnSettings,
};
use tokio::time::Instant;

const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// What to do after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Another attempt after this wait.
    Again(Duration),
    /// The task has failed.
    GiveUp,
}

/// Counts a turn's failed attempts against the settings.
pub(crate) struct RetryDecision {
    failures: u32,
    max_failures: u32,
    deadline: Instant,
    waits: Retries,
}

impl RetryDecision {
    /// `failed_before`: attempts that other claims of the task spent on provider errors. Their time is not known and
    /// does not count: the budget begins with this claim.
    pub(crate) fn new(settings: &TurnSettings, failed_before: u32) -> Self {
        let policy = RetryPolicy { first: FIRST_WAIT, longest: LONGEST_WAIT, budget: settings.retry_budget };
        Self {
            failures: failed_before,
            max_failures: settings.max_attempts,
            deadline: Instant::now() + settings.retry_budget,
            waits: policy.start(),
        }
    }

    /// Counts the failure and decides, where the way through the providers goes `onward`. A provider that was not asked yet
    /// is asked however many have failed. One that asks for a longer wait than the budget has left is not asked again:
    /// waiting would only make the failure late.
    pub(crate) fn after(&mut self, onward: Onward) -> Decision {
        self.failures += 1;
        let (at_least, is_first_time) = match onward {
            Onward::Nowhere => return Decision::GiveUp,
            Onward::Now { is_first_time } => (None, is_first_time),
            Onward::Later { at_least } => (Some(at_least), false),
        };
        let left = self.deadline.saturating_duration_since(Instant::now());
        if (self.failures >= self.max_failures && !is_first_time) || left.is_zero() {
            return Decision::GiveUp;
        }
        let Some(at_least) = at_least else { return Decision::Again(Duration::ZERO) };
        let Some(backoff) = self.waits.next_wait() else { return Decision::GiveUp };
        let wait = backoff.max(at_least);
        if wait > left { Decision::GiveUp } else { Decision::Again(wait) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(max_attempts: u32, budget: Duration) -> TurnSettings {
        TurnSettings { max_attempts, retry_budget: budget, concurrency: 1 }
    }

    const LATER: Onward = Onward::Later { at_least: Duration::ZERO };
    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn attempts_of_all_claims_count() {
        let mut fresh = RetryDecision::new(&settings(3, MINUTE), 0);
        assert!(matches!(fresh.after(LATER), Decision::Again(_)));
        assert!(matches!(fresh.after(LATER), Decision::Again(_)));
        assert_eq!(fresh.after(LATER), Decision::GiveUp);
        let mut after_another_worker = RetryDecision::new(&settings(3, MINUTE), 2);
        assert_eq!(after_another_worker.after(LATER), Decision::GiveUp);
    }

    #[test]
    fn the_next_provider_is_asked_at_once_and_each_of_them_once_in_any_case() {
        let mut decision = RetryDecision::new(&settings(1, MINUTE), 0);
        assert_eq!(decision.after(Onward::Now { is_first_time: true }), Decision::Again(Duration::ZERO));
        assert_eq!(decision.after(Onward::Now { is_first_time: true }), Decision::Again(Duration::ZERO));
        assert_eq!(decision.after(Onward::Now { is_first_time: false }), Decision::GiveUp);
        let mut late = RetryDecision::new(&settings(9, Duration::ZERO), 0);
        assert_eq!(late.after(Onward::Now { is_first_time: true }), Decision::GiveUp, "the budget is spent");
    }

    #[test]
    fn where_nobody_can_help_there_is_no_second_attempt() {
        assert_eq!(RetryDecision::new(&settings(4, MINUTE), 0).after(Onward::Nowhere), Decision::GiveUp);
    }

    #[test]
    fn the_provider_is_given_the_time_it_asks_for_within_the_budget() {
        let at_least = Duration::from_secs(7);
        let mut decision = RetryDecision::new(&settings(4, MINUTE), 0);
        assert_eq!(decision.after(Onward::Later { at_least }), Decision::Again(at_least));
        let mut short = RetryDecision::new(&settings(4, Duration::from_secs(5)), 0);
        assert_eq!(short.after(Onward::Later { at_least }), Decision::GiveUp);
    }

    #[test]
    fn without_a_wish_the_wait_is_short_at_first() {
        let mut decision = RetryDecision::new(&settings(4, MINUTE), 0);
        let Decision::Again(wait) = decision.after(LATER) else { panic!("gave up") };
        assert!(wait <= Duration::from_millis(400), "{wait:?}");
    }
}
