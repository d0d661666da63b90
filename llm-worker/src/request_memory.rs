//! After a turn: asks for what its session's memory needs, a summary or a heading, as events of their own.
//!
//! Published before the message is answered, like the turn's end, and beside it: whoever dies in between leaves it to
//! redelivery, which finds the task ended and asks again under the same id. What is asked for twice is done once: the
//! handlers look at the checkpoint first.

use cloudevents::Event;
use parlance_shared::{
    CallId, TaskId,
    content::Protocol,
    event::{DomainEvent, HeadingRequested, MessageSubmitted, SummaryRequested, to_cloud_event},
    port::{PortError, turns::Checkpoint},
    topology,
};

use crate::{Worker, fold::older_turns, port_call::patiently, window::tokens};

/// A request that came to nothing is made again each time that the window has grown by such a part of what triggers one.
const STEPS: u64 = 4;

/// What a session's memory needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Due {
    /// A summary of this version.
    summary: Option<u32>,
    heading: bool,
}

impl Due {
    /// After this task, whose end is in the checkpoint.
    pub(crate) fn after(worker: &Worker, message: &MessageSubmitted, checkpoint: &Checkpoint) -> Self {
        let room = worker.room_for(message);
        let (trigger, most) = (worker.memory.trigger(&room), worker.memory.most_kept());
        let window = &checkpoint.window;
        let Some(newest) = window.last().filter(|newest| newest.task_id == message.task_id) else {
            return Self::default();
        };
        let total = tokens(window, room.counter);
        let is_due = grew_past(trigger, most, total, room.counter.turn(newest));
        let foldable = !older_turns(window, keep(trigger, total), room.counter).is_empty();
        Self {
            summary: (is_due && foldable).then_some(checkpoint.summaries_made + 1),
            heading: worker.memory.settings.headings && has_heading(message) && is_first(checkpoint, message.task_id),
        }
    }
}

/// What is kept word for word when the rest is folded.
pub(crate) fn keep(trigger: u64, total: u64) -> u64 {
    trigger.min(total) / 2
}

/// Calls of `/v1/chat/completions` are sessions of their own, which nobody lists to find a conversation again. (They need no
/// summary either: one turn is never folded.)
fn has_heading(message: &MessageSubmitted) -> bool {
    message.input.protocol != Protocol::ChatCompletions
}

fn is_first(checkpoint: &Checkpoint, task: TaskId) -> bool {
    let alone = checkpoint.window.len() == 1 && checkpoint.window[0].task_id == task;
    !checkpoint.headed && checkpoint.summaries_made == 0 && alone
}

/// Whether the newest turn took the window past the trigger, or past another step beyond it.
fn grew_past(trigger: u64, most: u64, total: u64, newest: u64) -> bool {
    let step = (trigger / STEPS).max(1);
    let steps =
        |tokens: u64| tokens.checked_sub(trigger).filter(|beyond| *beyond > 0).map_or(0, |beyond| 1 + beyond / step);
    // A window from which turns are dropped grows no more.
    steps(total) > steps(total.saturating_sub(newest)) || total + step > most
}

/// Publishes what is due.
pub(crate) async fn request_memory(
    worker: &Worker,
    message: &MessageSubmitted,
    due: Due,
    call: Option<CallId>,
) -> Result<(), PortError> {
    let requested_at = worker.parts.clock.now();
    let (session_id, user_id) = (message.session_id, message.user_id.clone());
    if let Some(version) = due.summary {
        let fact = SummaryRequested { session_id, user_id: user_id.clone(), version, requested_at };
        publish(worker, topology::MEMORY, &fact, call).await?;
    }
    if due.heading {
        publish(worker, topology::MEMORY, &HeadingRequested { session_id, user_id, requested_at }, call).await?;
    }
    Ok(())
}

/// Publishes an event of a session.
pub(crate) async fn publish<E: DomainEvent>(
    worker: &Worker,
    topic: parlance_shared::port::bus::Topic,
    fact: &E,
    call: Option<CallId>,
) -> Result<(), PortError> {
    let event: Event = to_cloud_event(fact, "llm-worker", call)
        .map_err(|error| PortError::Rejected { what: "event", cause: error.to_string() })?;
    let (parts, key) = (&worker.parts, fact.ordering_key());
    patiently(&parts.lifecycle, "bus", || parts.bus.publish(topic, &key, event.clone())).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_made_on_the_way_past_each_step() {
        let past = |total, newest| grew_past(1_000, 2_000, total, newest);
        assert!(!past(1_000, 100), "not before");
        assert!(past(1_010, 100));
        assert!(!past(1_100, 80), "asked for already");
        assert!(past(1_260, 100), "a step further");
        assert!(past(5_000, 4_900), "one long turn");
        assert!(past(1_900, 1), "turns are dropped");
    }
}
