//! A message that no worker ever answers is given up: before it goes to the dead letters, its task ends.

use cloudevents::AttributesReader as _;
use parlance_shared::{
    event::{DomainEvent as _, MessageSubmitted, call_id, from_cloud_event},
    port::{PortError, bus::Received, turns::ClaimOutcome},
    task::Status,
};
use tokio::time::Instant;

use crate::{
    Worker,
    failure::Failure,
    on_message_submitted::{claim, turn_request},
    publish_reply_completed::publish,
    stop::Stop,
    turn::Turn,
    turn_record::ended,
    unreadable::salvage,
};

/// Ends the message's task, if it has one. An error keeps the message out of the dead letters for now.
pub(crate) async fn give_up(worker: &Worker, received: &Received) -> Result<(), PortError> {
    if received.event.ty() != MessageSubmitted::TYPE {
        return Ok(());
    }
    let message = from_cloud_event::<MessageSubmitted>(&received.event).ok().or_else(|| salvage(received));
    match message {
        Some(message) => end_as_failed(worker, received, &message, Failure::worker_lost()).await,
        None => Ok(()),
    }
}

/// Claims the task, ends it as failed (as cancelled, if that is what its owner wanted) and publishes the end.
pub(crate) async fn end_as_failed(
    worker: &Worker,
    received: &Received,
    message: &MessageSubmitted,
    failure: Failure,
) -> Result<(), PortError> {
    let asked = Instant::now();
    let task = match claim(worker, &turn_request(message, received)).await? {
        ClaimOutcome::Ended(task) => *task,
        ClaimOutcome::HeldUntil(until) => {
            return Err(PortError::Unavailable {
                what: "task",
                cause: format!("another worker holds it until {until}"),
            });
        }
        ClaimOutcome::NotYet => {
            return Err(PortError::Unavailable { what: "task", cause: "an earlier turn has not ended".into() });
        }
        ClaimOutcome::Claimed(claim) => {
            let (status, failure) =
                if claim.cancel_requested { (Status::Cancelled, None) } else { (Status::Failed, Some(failure)) };
            let task = Turn::new(worker, message, claim, None, asked)
                .end_with_earlier_text(status, failure)
                .await
                .map_err(|stop| match stop {
                    Stop::Port(error) => error,
                    Stop::Lost | Stop::Aborted => {
                        PortError::Unavailable { what: "task", cause: "the claim was lost".into() }
                    }
                })?;
            ended(&worker.parts.metrics, &task);
            task
        }
    };
    publish(worker, message, task, call_id(&received.event)).await
}
