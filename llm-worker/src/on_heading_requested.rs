//! A session needs a heading: found from its first exchange, once.
//!
//! Published first and marked in the checkpoint second. A crash in between has it found twice; the record keeps the first.

use parlance_shared::{
    event::{HeadingMade, HeadingRequested, call_id, from_cloud_event},
    port::{
        PortError,
        bus::{Outcome, Reason, Received},
        turns::ClaimError,
    },
    topology,
};

use crate::{
    Worker,
    ask::Unanswered,
    heading::{find_heading, from_message},
    port_call::patiently,
    request_memory::publish,
    unanswered::{port_trouble, try_again},
};

/// After so many failures of the provider the message's own words have to do.
const TRIES: u32 = 5;

const STALE_TRIES: u32 = 20;

pub(crate) async fn on_heading_requested(worker: &Worker, received: &Received) -> Outcome {
    let request: HeadingRequested = match from_cloud_event(&received.event) {
        Ok(request) => request,
        Err(error) => return Outcome::Fail(Reason::new("unreadable_event", error.to_string())),
    };
    let parts = &worker.parts;
    let load = || parts.turns.checkpoint(&request.user_id, request.session_id);
    let checkpoint = match patiently(&parts.lifecycle, "checkpoint", load).await {
        Ok(loaded) => loaded.checkpoint,
        Err(error) => return port_trouble("heading", &error),
    };
    let Some(first) = checkpoint.window.first().filter(|_| !checkpoint.headed) else { return Outcome::Done };
    let heading = match find_heading(worker, first).await {
        Ok(heading) => heading,
        Err(Unanswered::Stopping) => return Outcome::HandBack,
        Err(Unanswered::Failed(_)) if received.attempt >= TRIES => from_message(first),
        Err(Unanswered::Failed(error)) => return try_again("heading_failed", &error),
    };
    let fact = HeadingMade {
        session_id: request.session_id,
        user_id: request.user_id.clone(),
        heading: heading.text,
        made_at: parts.clock.now(),
        cost_micro_usd: parts.prices.cost(heading.model.as_deref(), &heading.usage),
        model: heading.model,
        usage: heading.usage,
        through: Some(first.task_id),
    };
    if let Err(error) = publish(worker, topology::REPLIES, &fact, call_id(&received.event)).await {
        return port_trouble("heading", &error);
    }
    mark(worker, &request).await
}

/// Notes that the session has been given its heading.
async fn mark(worker: &Worker, request: &HeadingRequested) -> Outcome {
    let parts = &worker.parts;
    for _ in 0..STALE_TRIES {
        let saved: Result<(), ClaimError> = async {
            let load = || parts.turns.checkpoint(&request.user_id, request.session_id);
            let mut loaded = patiently(&parts.lifecycle, "checkpoint", load).await.map_err(ClaimError::from)?;
            // Version 0: the session was deleted meanwhile.
            if loaded.version == 0 || loaded.checkpoint.headed {
                return Ok(());
            }
            loaded.checkpoint.headed = true;
            let save = || parts.turns.save_checkpoint(&request.user_id, request.session_id, loaded.clone());
            patiently(&parts.lifecycle, "checkpoint", save).await
        }
        .await;
        match saved {
            Ok(()) | Err(ClaimError::Fenced) => return Outcome::Done,
            Err(ClaimError::StaleCheckpoint) => {}
            Err(ClaimError::Port(error)) => return outcome_of(&error),
        }
    }
    Outcome::Retry { after: None, reason: Reason::new("checkpoint_contended", "The checkpoint changed over and over.") }
}

fn outcome_of(error: &PortError) -> Outcome {
    port_trouble("heading", error)
}
