//! A last look at the user's budget before the model is asked: what was accepted while other replies ran may come too late.
//!
//! So a user is past a budget by no more than the replies that were under way when it was used up. If what was used can't be
//! told, the message is answered.

use std::time::Duration;

use parlance_shared::{UserId, budget::day_began};
use tracing::warn;

use crate::{Worker, failure::Failure, port_call::once};

/// Longer than this a reply is not held up.
const LOOK: Duration = Duration::from_millis(250);

/// The failure of a turn whose user has no budget left today.
pub(crate) async fn past_budget(worker: &Worker, user: &UserId) -> Option<Failure> {
    let parts = &worker.parts;
    if !parts.budgets.are_set() {
        return None;
    }
    match once("turns", LOOK, parts.turns.spent(user, day_began(parts.clock.now()))).await {
        Ok(spent) => parts.budgets.exhausted_by(spent).map(|_| Failure::budget_exhausted()),
        Err(error) => {
            warn!(%error, "answering without a look at what was used today");
            None
        }
    }
}
