//! How much a user may use in a day. A day is one of UTC.

use std::time::Duration;

use chrono::{DateTime, Days, NaiveTime, Utc};

/// What a user may use in a day; none for as much as they like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budgets {
    /// `USER_DAILY_TOKENS`: of prompts and replies together.
    pub daily_tokens: Option<u64>,
    /// `USER_DAILY_MICRO_USD`: millionths of a US dollar. What has no known price does not count.
    pub daily_micro_usd: Option<u64>,
}

/// What a user has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Tokens of prompts and replies together.
    pub tokens: u64,
    /// Millionths of a US dollar, as far as prices are known.
    pub micro_usd: u64,
}

/// A budget that is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted {
    /// Of what: `tokens` or `micro_usd`.
    pub unit: &'static str,
    /// The budget.
    pub limit: u64,
    /// What was used.
    pub used: u64,
}

impl Budgets {
    /// Whether there is any budget.
    pub fn are_set(&self) -> bool {
        *self != Self::default()
    }

    /// The budget that is used up, if one is. What remains of a budget allows one more reply, whatever that needs.
    pub fn exhausted_by(&self, spent: Spent) -> Option<Exhausted> {
        let budgets =
            [("tokens", self.daily_tokens, spent.tokens), ("micro_usd", self.daily_micro_usd, spent.micro_usd)];
        budgets.into_iter().find_map(|(unit, limit, used)| {
            let limit = limit.filter(|limit| used >= *limit)?;
            Some(Exhausted { unit, limit, used })
        })
    }
}

/// When the day of `now` began.
pub fn day_began(now: DateTime<Utc>) -> DateTime<Utc> {
    now.with_time(NaiveTime::MIN).single().unwrap_or(now)
}

/// When the next day begins, and the time until then, never less than a second.
pub fn day_ends(now: DateTime<Utc>) -> (DateTime<Utc>, Duration) {
    let end = day_began(now).checked_add_days(Days::new(1)).unwrap_or(now);
    (end, (end - now).to_std().unwrap_or_default().max(Duration::from_secs(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn days_are_those_of_utc() {
        for (now, began, ends) in [
            ("2026-02-28T00:00:00Z", "2026-02-28T00:00:00Z", "2026-03-01T00:00:00Z"),
            ("2026-02-28T23:59:59.999Z", "2026-02-28T00:00:00Z", "2026-03-01T00:00:00Z"),
            ("2027-01-01T01:30:00+02:00", "2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z"),
        ] {
            assert_eq!(day_began(at(now)), at(began));
            assert_eq!(day_ends(at(now)).0, at(ends));
        }
        assert_eq!(day_ends(at("2026-02-28T23:59:59.999Z")).1, Duration::from_secs(1));
        assert_eq!(day_ends(at("2026-02-28T23:00:00Z")).1, Duration::from_secs(3600));
    }

    #[test]
    fn a_budget_is_used_up_when_nothing_is_left_of_it() {
        let budgets = Budgets { daily_tokens: Some(100), daily_micro_usd: Some(50) };
        let spent = |tokens, micro_usd| budgets.exhausted_by(Spent { tokens, micro_usd });
        assert_eq!(spent(99, 49), None);
        assert_eq!(spent(100, 0), Some(Exhausted { unit: "tokens", limit: 100, used: 100 }));
        assert_eq!(spent(0, 51), Some(Exhausted { unit: "micro_usd", limit: 50, used: 51 }));
        assert_eq!(Budgets::default().exhausted_by(Spent { tokens: u64::MAX, micro_usd: u64::MAX }), None);
    }
}
