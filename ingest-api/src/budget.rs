//! Budgets of users: past one, messages are refused until the day is over.
//!
//! What has ended is counted, so what remains of a budget allows one more reply, whatever it needs; a worker looks again
//! before it asks the model, for what was accepted meanwhile. If what was used can't be told, the message is accepted.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, SecondsFormat, Utc};
use parlance_shared::{
    Caller, UserId,
    budget::{Budgets, Exhausted, day_began, day_ends},
};
use tracing::warn;

use crate::{
    bounded::bounded,
    problem::{Code, Problem},
    state::ApiState,
};

/// Whoever is past a budget and asks again is answered from memory for so long.
const REMEMBER: Duration = Duration::from_secs(1);

/// More users than this are not remembered: they cost a look at the turns each.
const MOST_REMEMBERED: usize = 10_000;

/// The budgets in force, and who was found past one a moment ago.
#[derive(Debug, Default)]
pub struct BudgetGuard {
    budgets: Budgets,
    refused: Mutex<HashMap<UserId, Refused>>,
}

#[derive(Clone, Copy, Debug)]
struct Refused {
    exhausted: Exhausted,
    day: DateTime<Utc>,
    found: Instant,
}

impl BudgetGuard {
    /// These budgets, for every user.
    pub fn new(budgets: Budgets) -> Self {
        Self { budgets, refused: Mutex::default() }
    }

    fn remembered(&self, user: &UserId, day: DateTime<Utc>) -> Option<Exhausted> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let known = refused.get(user).filter(|refused| refused.day == day && refused.found.elapsed() < REMEMBER);
        known.map(|refused| refused.exhausted)
    }

    fn remember(&self, user: &UserId, day: DateTime<Utc>, exhausted: Exhausted) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() >= MOST_REMEMBERED {
            refused.retain(|_, refused| refused.found.elapsed() < REMEMBER);
        }
        if refused.len() < MOST_REMEMBERED {
            refused.insert(user.clone(), Refused { exhausted, day, found: Instant::now() });
        }
    }
}

/// Refuses the caller when a budget of today is used up.
pub(crate) async fn refuse_past_budget(state: &ApiState, caller: &Caller) -> Result<(), Problem> {
    let guard = &state.budgets;
    if !guard.budgets.are_set() {
        return Ok(());
    }
    let now = state.clock.now();
    let day = day_began(now);
    if let Some(exhausted) = guard.remembered(&caller.user, day) {
        return Err(problem(exhausted, now));
    }
    match bounded(state.limits.glance_timeout, "turns", state.turns.spent(&caller.user, day)).await {
        Ok(spent) => match guard.budgets.exhausted_by(spent) {
            None => Ok(()),
            Some(exhausted) => {
                guard.remember(&caller.user, day, exhausted);
                Err(problem(exhausted, now))
            }
        },
        Err(error) => {
            warn!(%error, "accepting without a look at what was used today");
            Ok(())
        }
    }
}

fn problem(exhausted: Exhausted, now: DateTime<Utc>) -> Problem {
    let Exhausted { unit, limit, used } = exhausted;
    let what = if unit == "tokens" { "tokens" } else { "millionths of a US dollar" };
    let (ends, left) = day_ends(now);
    let resets_at = ends.to_rfc3339_opts(SecondsFormat::Secs, true);
    let detail = format!("Today's budget of {limit} {what} is used up. It begins anew at {resets_at}.");
    Problem::new(Code::BudgetExhausted, detail)
        .retry_after(u32::try_from(left.as_secs() + 1).unwrap_or(u32::MAX))
        .member("budget", unit)
        .member("limit", limit)
        .member("used", used)
        .member("resets_at", resets_at)
}
