//! A message was accepted: claim its task, answer it, say so.

use std::time::Duration;

use parlance_shared::{
    event::{MessageSubmitted, call_id, from_cloud_event},
    port::{
        PortError,
        bus::{Outcome, Reason, Received},
        turns::{Claim, ClaimOutcome, TurnRequest, VersionedCheckpoint},
    },
    replay::Replay,
    task::Status,
};
use tokio::time::Instant;
use tracing::{error, warn};

use crate::{
    Worker,
    budget::past_budget,
    failure::Failure,
    finish::Ended,
    lease_loop::LEASE,
    port_call::{once, patiently},
    publish_reply_completed::publish_and_answer,
    request_memory::{Due, request_memory},
    stop::Stop,
    too_many::too_many,
    turn::Turn,
    turn_record::{ActiveTurn, ended, started},
    unreadable::end_unreadable,
};

/// Clocks differ a little; asking too early costs a delivery.
const LEAST_WAIT: Duration = Duration::from_millis(50);

/// Between two looks at whether the turn before has ended, when another worker has it.
const BEHIND: Duration = Duration::from_millis(500);

/// Handing a claim back must not hold up a stop: the lease runs out by itself.
const RELEASE: Duration = Duration::from_secs(1);

pub(crate) async fn on_message_submitted(worker: &Worker, received: &Received) -> Outcome {
    let message: MessageSubmitted = match from_cloud_event(&received.event) {
        Ok(message) => message,
        Err(error) => return end_unreadable(worker, received, &error).await,
    };
    answer(worker, received, &message).await
}

async fn answer(worker: &Worker, received: &Received, message: &MessageSubmitted) -> Outcome {
    if worker.parts.lifecycle.aborting().is_cancelled() {
        return Outcome::HandBack;
    }
    let asked = Instant::now();
    // The checkpoint can't change meanwhile: the bus hands out no other message of the session until this one is
    // answered. If that ever fails, the end's compare-and-swap notices.
    let request = turn_request(message, received);
    let (claimed, checkpoint, past_budget) = tokio::join!(
        claim(worker, &request),
        worker.parts.turns.checkpoint(&message.user_id, message.session_id),
        past_budget(worker, &message.user_id)
    );
    let Ended { task, due } = match claimed {
        Ok(ClaimOutcome::Claimed(claim)) => {
            match turn(worker, message, claim, checkpoint.ok(), past_budget, asked).await {
                Ok(ended) => ended,
                Err(outcome) => return outcome,
            }
        }
        // Whoever ended it may have died before all was published.
        Ok(ClaimOutcome::Ended(task)) => {
            let due = match checkpoint {
                Ok(loaded) => Due::after(worker, message, &loaded.checkpoint),
                Err(error) => return memory_trouble(&error),
            };
            Ended { task: *task, due }
        }
        Ok(ClaimOutcome::HeldUntil(until)) => {
            let wait = (until - worker.parts.clock.now()).to_std().unwrap_or_default().max(LEAST_WAIT);
            let reason = Reason::new("held_elsewhere", "Another worker holds the task.");
            return Outcome::Retry { after: Some(wait), reason };
        }
        Ok(ClaimOutcome::NotYet) => return not_yet(),
        Err(error @ PortError::Rejected { .. }) => {
            return Outcome::Fail(Reason::new("claim_rejected", error.to_string()));
        }
        Err(error) => return Outcome::Retry { after: None, reason: Reason::new("claim_failed", error.to_string()) },
    };
    let call = call_id(&received.event);
    let (answer, requested) =
        tokio::join!(publish_and_answer(worker, message, task, call), request_memory(worker, message, due, call));
    match requested {
        Err(error) if matches!(answer, Outcome::Done) => memory_trouble(&error),
        _ => answer,
    }
}

/// What the session's memory needs could not be found out or asked for.
fn memory_trouble(error: &PortError) -> Outcome {
    Outcome::Retry { after: None, reason: Reason::new("memory_request_failed", error.to_string()) }
}

/// The bus was ahead of an earlier turn, as may be after its worker died.
fn not_yet() -> Outcome {
    let reason = Reason::new("earlier_turn_unfinished", "An earlier turn of the session has not ended.");
    Outcome::Behind { after: BEHIND, reason }
}

/// Works on a claimed task; an outcome when its end is left to another delivery.
async fn turn(
    worker: &Worker,
    message: &MessageSubmitted,
    claim: Claim,
    checkpoint: Option<VersionedCheckpoint>,
    past_budget: Option<Failure>,
    asked: Instant,
) -> Result<Ended, Outcome> {
    let parts = &worker.parts;
    let _active = ActiveTurn::begin(&parts.metrics);
    started(&parts.metrics, &parts.clock, &claim, message.accepted_at);
    let mut turn = Turn::new(worker, message, claim, checkpoint, asked);
    let refused = match too_many(worker, message, turn.claim()).await {
        Ok(refused) => Ok(refused.or(past_budget).filter(|_| !turn.claim().cancel_requested)),
        Err(error) => Err(error.into()),
    };
    let answered = match refused {
        Ok(Some(failure)) => turn.end_with_earlier_text(Status::Failed, Some(failure)).await,
        Ok(None) => turn.run().await,
        Err(stop) => Err(stop),
    };
    let result = match answered {
        Err(Stop::Port(refused @ PortError::Rejected { .. })) => {
            // Trying again can't help. The end without what was refused may be storable, and an end there must be.
            error!(error = %refused, "could not store the turn");
            turn.fail(&Failure::internal(refused.to_string())).await
        }
        other => other,
    };
    let stop = match result {
        Ok(task) => {
            ended(&parts.metrics, &task);
            return Ok(Ended { task, due: turn.due() });
        }
        Err(stop) => stop,
    };
    Err(match stop {
        // Whoever has it now will end it; if nobody does, redelivery claims it again.
        Stop::Lost => Outcome::Retry { after: None, reason: Reason::new("claim_lost", "The claim was lost.") },
        Stop::Aborted => {
            release(worker, turn.claim()).await;
            Outcome::HandBack
        }
        Stop::Port(refused @ PortError::Rejected { .. }) => {
            Outcome::Fail(Reason::new("end_rejected", refused.to_string()))
        }
        Stop::Port(error) => {
            release(worker, turn.claim()).await;
            if parts.lifecycle.aborting().is_cancelled() {
                Outcome::HandBack
            } else {
                Outcome::Retry { after: None, reason: Reason::new("store_unavailable", error.to_string()) }
            }
        }
    })
}

async fn release(worker: &Worker, claim: &Claim) {
    if let Err(error) = once("release", RELEASE, worker.parts.turns.release(claim)).await {
        warn!(%error, "could not hand the claim back: its lease must run out");
    }
}

/// Asks for the task.
pub(crate) async fn claim(worker: &Worker, request: &TurnRequest) -> Result<ClaimOutcome, PortError> {
    let parts = &worker.parts;
    patiently(&parts.lifecycle, "claim", || parts.turns.claim(request, &parts.worker_id, LEASE)).await
}

/// What the store must know of a task.
pub(crate) fn turn_request(message: &MessageSubmitted, received: &Received) -> TurnRequest {
    let replay = Replay::of(&received.event).filter(|replay| replay.reopens);
    TurnRequest {
        task_id: message.task_id,
        session_id: message.session_id,
        user_id: message.user_id.clone(),
        message_id: message.message_id,
        reply_message_id: message.reply_message_id,
        accepted_at: message.accepted_at,
        fingerprint: message.fingerprint.clone(),
        reopen: replay.map(|replay| replay.id),
    }
}
