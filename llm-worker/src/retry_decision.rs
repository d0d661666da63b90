//! After a failed attempt: wait how long for the next one, or give up?

use std::time::Duration;

use parlance_shared::{
    retry::{Retries, RetryPolicy},
    settings::TurnSettings,
};
use tokio::time::Instant;

use crate::failure::Failure;

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

    /// Counts the failure and decides. A provider that asks for a longer wait than the budget has left is not asked
    /// again: waiting would only make the failure late.
    pub(crate) fn after(&mut self, failure: &Failure) -> Decision {
        self.failures += 1;
        if !failure.worth_another_attempt || self.failures >= self.max_failures {
            return Decision::GiveUp;
        }
        let Some(backoff) = self.waits.next_wait() else { return Decision::GiveUp };
        let wait = backoff.max(failure.retry_after.unwrap_or_default());
        if wait > self.deadline.saturating_duration_since(Instant::now()) {
            return Decision::GiveUp;
        }
        Decision::Again(wait)
    }
}

#[cfg(test)]
mod tests {
    use parlance_shared::port::llm::{LlmError, LlmErrorKind};

    use super::*;

    fn settings(max_attempts: u32, budget: Duration) -> TurnSettings {
        TurnSettings { max_attempts, retry_budget: budget, concurrency: 1 }
    }

    fn failure(kind: LlmErrorKind, retry_after: Option<Duration>) -> Failure {
        LlmError { retry_after, ..LlmError::new(kind, "") }.into()
    }

    #[test]
    fn attempts_of_all_claims_count() {
        let minute = Duration::from_secs(60);
        let stalled = failure(LlmErrorKind::Stalled, None);
        let mut fresh = RetryDecision::new(&settings(3, minute), 0);
        assert!(matches!(fresh.after(&stalled), Decision::Again(_)));
        assert!(matches!(fresh.after(&stalled), Decision::Again(_)));
        assert_eq!(fresh.after(&stalled), Decision::GiveUp);
        let mut after_another_worker = RetryDecision::new(&settings(3, minute), 2);
        assert_eq!(after_another_worker.after(&stalled), Decision::GiveUp);
    }

    #[test]
    fn permanent_errors_get_no_second_attempt() {
        let mut decision = RetryDecision::new(&settings(4, Duration::from_secs(60)), 0);
        assert_eq!(decision.after(&failure(LlmErrorKind::ContextTooLong, None)), Decision::GiveUp);
    }

    #[test]
    fn the_provider_is_given_the_time_it_asks_for_within_the_budget() {
        let asked = Duration::from_secs(7);
        let limited = failure(LlmErrorKind::RateLimited, Some(asked));
        let mut decision = RetryDecision::new(&settings(4, Duration::from_secs(60)), 0);
        assert_eq!(decision.after(&limited), Decision::Again(asked));
        let mut short = RetryDecision::new(&settings(4, Duration::from_secs(5)), 0);
        assert_eq!(short.after(&limited), Decision::GiveUp);
    }

    #[test]
    fn without_a_wish_the_wait_is_short_at_first() {
        let mut decision = RetryDecision::new(&settings(4, Duration::from_secs(60)), 0);
        let Decision::Again(wait) = decision.after(&failure(LlmErrorKind::Unavailable, None)) else {
            panic!("gave up");
        };
        assert!(wait <= Duration::from_millis(400), "{wait:?}");
    }
}
