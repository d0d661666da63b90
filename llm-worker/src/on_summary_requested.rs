//! A session's window has grown too large: its older turns are folded into the summary.
//!
//! Once for each range of turns, however often it is delivered: the checkpoint says which versions were made, and takes the
//! new one by compare-and-swap, so that a turn in flight works with the old one or the new one and never with a mix. A turn
//! that ends meanwhile makes the checkpoint stale: it is loaded anew and the same fold applied, without asking the model
//! again. Only a crash between the model's answer and the swap has it asked twice.

use parlance_shared::{
    event::{SummaryMade, SummaryRequested, call_id, from_cloud_event},
    port::{
        PortError,
        bus::{Outcome, Reason, Received},
        turns::{Checkpoint, ClaimError, Summary, VersionedCheckpoint},
    },
    topology,
};
use tracing::info;

use crate::{
    Worker,
    ask::Unanswered,
    fold::{Folded, older_turns},
    port_call::patiently,
    request_memory::{keep, publish},
    summarise::{fitting_request, summarise},
    unanswered::try_again,
    window::tokens,
};

/// Each is a turn that ended, or a change of instructions, between a load and a save.
const STALE_TRIES: u32 = 20;

pub(crate) async fn on_summary_requested(worker: &Worker, received: &Received) -> Outcome {
    let request: SummaryRequested = match from_cloud_event(&received.event) {
        Ok(request) => request,
        Err(error) => return Outcome::Fail(Reason::new("unreadable_event", error.to_string())),
    };
    let made = match made(worker, &request).await {
        Ok(Some(summary)) => summary,
        Ok(None) => return Outcome::Done,
        Err(outcome) => return outcome,
    };
    let fact = SummaryMade {
        session_id: request.session_id,
        user_id: request.user_id,
        model: made.model.clone(),
        usage: made.usage,
        cost_micro_usd: worker.parts.prices.cost(made.model.as_deref(), &made.usage),
        summary: made,
    };
    match publish(worker, topology::REPLIES, &fact, call_id(&received.event)).await {
        Ok(()) => Outcome::Done,
        Err(error) => port_trouble(&error),
    }
}

/// The summary of the version that was asked for or a later one; `None` when there is nothing to fold any more.
async fn made(worker: &Worker, request: &SummaryRequested) -> Result<Option<Summary>, Outcome> {
    let parts = &worker.parts;
    let (user, session) = (&request.user_id, request.session_id);
    let mut folded: Option<Folded> = None;
    for _ in 0..STALE_TRIES {
        let load = || parts.turns.checkpoint(user, session);
        let mut loaded = patiently(&parts.lifecycle, "checkpoint", load).await.map_err(|error| port_trouble(&error))?;
        if loaded.checkpoint.summaries_made >= request.version {
            return Ok(loaded.checkpoint.summary);
        }
        let known = folded.take().filter(|folded| folded.apply(&mut loaded.checkpoint));
        let fold = match known {
            Some(fold) => fold,
            None => {
                let Some(fold) = fold(worker, &loaded.checkpoint).await? else { return Ok(None) };
                fold.apply(&mut loaded.checkpoint);
                fold
            }
        };
        match save(worker, request, &loaded).await {
            Ok(()) => {
                let summary = loaded.checkpoint.summary;
                if let Some(Summary { version, turns, tokens, .. }) = &summary {
                    info!(summary.version = version, summary.turns = turns, summary.tokens = tokens, "turns folded");
                }
                return Ok(summary);
            }
            Err(ClaimError::StaleCheckpoint) => folded = Some(fold),
            // The session was deleted meanwhile: there is nothing to remember.
            Err(ClaimError::Fenced) => return Ok(None),
            Err(ClaimError::Port(error)) => return Err(port_trouble(&error)),
        }
    }
    let reason = Reason::new("checkpoint_contended", "The checkpoint changed over and over.");
    Err(Outcome::Retry { after: None, reason })
}

/// Asks the model to fold what is older than the part that is kept word for word.
async fn fold(worker: &Worker, checkpoint: &Checkpoint) -> Result<Option<Folded>, Outcome> {
    let room = worker.room_of_default_model();
    let total = tokens(&checkpoint.window, room.counter);
    let kept = keep(worker.memory.trigger(&room), total);
    let older = older_turns(&checkpoint.window, kept, room.counter);
    let before = checkpoint.summary.as_ref();
    let older = &older[..fitting_request(&room, before, older)];
    if older.is_empty() {
        return Ok(None);
    }
    let answer = summarise(worker, before, older).await.map_err(|unanswered| match unanswered {
        Unanswered::Stopping => Outcome::HandBack,
        Unanswered::Failed(error) => try_again("summary_failed", &error),
    })?;
    Ok(Folded::new(checkpoint, older, answer, room.counter, worker.parts.clock.now()))
}

async fn save(worker: &Worker, request: &SummaryRequested, loaded: &VersionedCheckpoint) -> Result<(), ClaimError> {
    let parts = &worker.parts;
    let save = || parts.turns.save_checkpoint(&request.user_id, request.session_id, loaded.clone());
    patiently(&parts.lifecycle, "checkpoint", save).await
}

fn port_trouble(error: &PortError) -> Outcome {
    crate::unanswered::port_trouble("summary", error)
}
