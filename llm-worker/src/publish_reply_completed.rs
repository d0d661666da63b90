//! Tells that a task has ended, and answers the message that began it.
//!
//! The end is stored first and published second, without an outbox: the message that began the task is answered last, so
//! a worker that dies in between, or a bus that takes nothing, leaves it to redelivery. That finds the task ended and
//! publishes the same event again: the same id, so a bus that knows it drops it and consumers' upserts make it no second.

use cloudevents::Event;
use parlance_shared::{
    CallId,
    event::{DomainEvent as _, MessageSubmitted, ReplyCompleted, to_cloud_event},
    port::{
        PortError,
        bus::{Outcome, Published, Reason},
    },
    task::{Status, Task, codes},
    topology,
};

use crate::{Worker, port_call::patiently};

/// Publishes the end of the message's task.
pub(crate) async fn publish(
    worker: &Worker,
    message: &MessageSubmitted,
    task: Task,
    call: Option<CallId>,
) -> Result<(), PortError> {
    let fact = ReplyCompleted {
        user_id: message.user_id.clone(),
        session_id: message.session_id,
        task,
        webhook: message.input.webhook.clone(),
    };
    let event: Event = to_cloud_event(&fact, "llm-worker", call)
        .map_err(|error| PortError::Rejected { what: "event", cause: error.to_string() })?;
    let parts = &worker.parts;
    let key = fact.ordering_key();
    let publish = || parts.bus.publish(topology::REPLIES, &key, event.clone());
    patiently(&parts.lifecycle, "bus", publish).await.map(|_: Published| ())
}

/// Publishes the end and gives the answer to the message: a failed task's message goes to the dead letters (but for one that
/// was refused), also when a worker died between storing that end and answering.
pub(crate) async fn publish_and_answer(
    worker: &Worker,
    message: &MessageSubmitted,
    task: Task,
    call: Option<CallId>,
) -> Outcome {
    let answer = match (&task.error, task.status) {
        // There is nothing for an operator to do: it stays refused.
        (Some(error), _) if error.code == codes::SESSION_BUSY => Outcome::Done,
        (Some(error), _) => Outcome::Fail(Reason::new(&error.code, &error.message)),
        (None, Status::Failed) => Outcome::Fail(Reason::new("failed", "The task failed.")),
        (None, _) => Outcome::Done,
    };
    match publish(worker, message, task, call).await {
        Ok(()) => answer,
        Err(error @ PortError::Rejected { .. }) => Outcome::Fail(Reason::new("publish_rejected", error.to_string())),
        Err(error) => Outcome::Retry { after: None, reason: Reason::new("publish_failed", error.to_string()) },
    }
}
