//! What a task used and cost, once it ends.

use parlance_shared::{
    event::MessageSubmitted,
    port::turns::TurnEnd,
    task::{TaskDetails, Usage},
};

use crate::Worker;

/// The end with its cost. What the provider did not count is estimated: a reply that was stopped in the middle is paid for
/// all the same, and a budget must not be evaded by stopping each one before its end.
pub(crate) fn account(worker: &Worker, message: &MessageSubmitted, end: TurnEnd) -> TurnEnd {
    let TurnEnd { usage, details, .. } = &end;
    let spoke = !end.content.is_empty() || !details.tool_calls.is_empty();
    // Without a provider nobody was asked: what is said is an earlier attempt's.
    let is_uncounted = usage.input_tokens.is_none() && usage.output_tokens.is_none() && spoke && end.provider.is_some();
    let usage = if is_uncounted { estimate(worker, message, &end) } else { *usage };
    let cost_micro_usd = worker.parts.prices.cost(end.model.as_deref(), &usage);
    let details = TaskDetails { cost_micro_usd, usage_estimated: is_uncounted, ..end.details };
    TurnEnd { usage, details, ..end }
}

fn estimate(worker: &Worker, message: &MessageSubmitted, end: &TurnEnd) -> Usage {
    let counter = worker.room_for(message).counter;
    Usage {
        input_tokens: end.details.prompt.as_ref().map(|prompt| prompt.tokens),
        output_tokens: Some(counter.assistant_side(&end.content, &end.details.tool_calls)),
        cached_tokens: None,
    }
}
