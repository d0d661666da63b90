//! What a turn used and cost: each request by itself, and all together once the task ends.
//!
//! Failed attempts are paid for, too, so they count; who was asked for how much stands in the task's list of attempts.

use parlance_shared::{
    content::ToolCall,
    port::turns::{Claim, TurnEnd},
    task::{AttemptRecord, PromptRecord, TaskDetails, Usage, codes},
};

use crate::tokens::Counter;

/// Attempts of other workers that are listed at most.
const MOST_LISTED: u32 = 100;

/// What there is to count of a request that has ended.
pub(crate) struct Request<'a> {
    /// What the provider says.
    pub(crate) reported: Usage,
    pub(crate) prompt: Option<&'a PromptRecord>,
    /// What had been said before it, where it went on with that.
    pub(crate) before: &'a str,
    /// What it said.
    pub(crate) said: &'a str,
    pub(crate) calls: &'a [ToolCall],
}

impl Request<'_> {
    /// Its tokens, and whether they are an estimate. What the provider did not count is estimated: a reply that was stopped in
    /// the middle is paid for all the same, and a budget must not be evaded by stopping each one before its end. Who said
    /// nothing is taken to have done nothing.
    pub(crate) fn usage(&self, counter: &Counter) -> (Usage, bool) {
        let spoke = !self.said.is_empty() || !self.calls.is_empty();
        if self.reported.is_known() || !spoke {
            return (self.reported, false);
        }
        let before = if self.before.is_empty() { 0 } else { counter.text(self.before) };
        let usage = Usage {
            input_tokens: self.prompt.map(|prompt| prompt.tokens + before),
            output_tokens: Some(counter.assistant_side(self.said, self.calls)),
            cached_tokens: None,
        };
        (usage, true)
    }
}

/// The end with what all its attempts used and cost together.
pub(crate) fn account(end: TurnEnd) -> TurnEnd {
    let attempts = &end.details.attempts;
    let usage = attempts.iter().map(|attempt| attempt.usage).fold(Usage::default(), Usage::plus);
    let cost_micro_usd = attempts.iter().filter_map(|attempt| attempt.cost_micro_usd).reduce(u64::saturating_add);
    let usage_estimated = attempts.iter().any(|attempt| attempt.usage_estimated);
    TurnEnd { usage, details: TaskDetails { cost_micro_usd, usage_estimated, ..end.details }, ..end }
}

/// The attempts before this claim, of which other workers knew more. That the one right before was lost is known, if none was
/// handed back; of the others only what holds for all.
pub(crate) fn earlier_attempts(claim: &Claim) -> Vec<AttemptRecord> {
    let earlier = claim.attempt.saturating_sub(1);
    let all_lost = claim.lost_attempts == earlier;
    let none_handed_back = claim.lost_attempts > 0 && claim.lost_attempts + claim.failed_attempts == earlier;
    let first = claim.attempt.saturating_sub(MOST_LISTED).max(1);
    let record = |attempt| {
        let was_lost = all_lost || none_handed_back && attempt == earlier;
        AttemptRecord {
            attempt,
            provider: None,
            model: None,
            error: Some(if was_lost { codes::WORKER_LOST } else { codes::UNKNOWN }.to_owned()),
            usage: Usage::default(),
            usage_estimated: false,
            cost_micro_usd: None,
        }
    };
    (first..=earlier).map(record).collect()
}

#[cfg(test)]
mod tests {
    use parlance_shared::{SessionId, TaskId, UserId, id::PrefixedId as _, port::turns::WorkerId};
    use uuid::Uuid;

    use super::*;

    fn listed(attempt: u32, lost: u32, failed: u32) -> Vec<(u32, String)> {
        let claim = Claim {
            task_id: TaskId::from_uuid(Uuid::now_v7()),
            session_id: SessionId::from_uuid(Uuid::now_v7()),
            user_id: UserId::new("alice"),
            attempt,
            worker: WorkerId("w".to_owned()),
            lost_attempts: lost,
            failed_attempts: failed,
            cancel_requested: false,
            earlier_text: String::new(),
            cancelled: Default::default(),
            lost: Default::default(),
        };
        let records = earlier_attempts(&claim).into_iter();
        records.map(|record| (record.attempt, record.error.unwrap())).collect()
    }

    #[test]
    fn attempts_of_lost_workers_are_listed() {
        let lost = |attempt| (attempt, codes::WORKER_LOST.to_owned());
        let unknown = |attempt| (attempt, codes::UNKNOWN.to_owned());
        assert!(listed(1, 0, 0).is_empty());
        assert_eq!(listed(3, 2, 0), [lost(1), lost(2)]);
        assert_eq!(listed(3, 1, 1), [unknown(1), lost(2)], "failed first, and then its worker was lost");
        assert_eq!(listed(3, 1, 0), [unknown(1), unknown(2)], "one was handed back");
        assert_eq!(listed(2, 0, 0), [unknown(1)]);
        assert_eq!(listed(500, 499, 0).len(), 100);
    }
}
