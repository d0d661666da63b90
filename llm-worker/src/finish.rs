//! Ends a task together with the checkpoint that the session's next turn starts from.

use parlance_shared::{
    content::TurnInput,
    event::MessageSubmitted,
    port::turns::{CheckpointTurn, Claim, ClaimError, TurnEnd, VersionedCheckpoint},
    task::{Status, Task, codes},
};

use crate::{
    Worker, account::account, branch::go_back, port_call::patiently, request_memory::Due, stop::Stop, window::push,
};

/// Changes of a session's instructions are the only other writers of its checkpoint; they are rare.
const STALE_TRIES: u32 = 10;

/// Loads the session's checkpoint.
pub(crate) async fn load_checkpoint(worker: &Worker, claim: &Claim) -> Result<VersionedCheckpoint, Stop> {
    let parts = &worker.parts;
    let load = || parts.turns.checkpoint(&claim.user_id, claim.session_id);
    Ok(patiently(&parts.lifecycle, "checkpoint", load).await?)
}

/// Ends the task. A turn that said something is remembered, a failed one is not: the next message's prompt holds what the
/// owner was given as an answer, and a question without one would only invite the model to answer it again. What a turn
/// stands in for is forgotten all the same, as it is no longer part of the conversation; but not by a turn that was refused.
///
/// A try whose answer was lost may have worked; the next one is fenced then, and redelivery finds the task ended.
pub(crate) async fn finish(
    worker: &Worker,
    claim: &Claim,
    message: &MessageSubmitted,
    end: TurnEnd,
    mut loaded: Option<VersionedCheckpoint>,
) -> Result<Ended, Stop> {
    let parts = &worker.parts;
    let end = account(end);
    let said = !end.content.is_empty() || !end.details.tool_calls.is_empty();
    let remembered = end.status != Status::Failed && said;
    let refused = end.error.as_ref().is_some_and(|error| error.code == codes::SESSION_BUSY);
    let changes = remembered || message.input.replaces.is_some() && !refused;
    let mut stale = 0;
    loop {
        let checkpoint = match (changes, loaded.take()) {
            (false, _) => None,
            (true, Some(loaded)) => Some(loaded),
            (true, None) => Some(load_checkpoint(worker, claim).await?),
        };
        let checkpoint = checkpoint.map(|mut loaded| {
            go_back(&mut loaded.checkpoint, message.input.replaces.as_ref());
            if remembered { with_turn(worker, loaded, message, &end) } else { loaded }
        });
        let save = || parts.turns.finish(claim, end.clone(), checkpoint.clone());
        match patiently(&parts.lifecycle, "end of turn", save).await {
            Ok(task) => {
                let due = checkpoint.map(|saved| Due::after(worker, message, &saved.checkpoint)).unwrap_or_default();
                return Ok(Ended { task, due });
            }
            // Without what was loaded, the next round loads it anew.
            Err(ClaimError::StaleCheckpoint) if stale < STALE_TRIES => stale += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

/// A task that has ended, and what its session's memory needs now.
pub(crate) struct Ended {
    pub(crate) task: Task,
    pub(crate) due: Due,
}

fn with_turn(
    worker: &Worker,
    mut versioned: VersionedCheckpoint,
    message: &MessageSubmitted,
    end: &TurnEnd,
) -> VersionedCheckpoint {
    let counter = worker.room_for(message).counter;
    let tokens = counter.user_side(&message.content, &message.input)
        + counter.assistant_side(&end.content, &end.details.tool_calls);
    let turn = CheckpointTurn {
        task_id: message.task_id,
        user: message.content.clone(),
        assistant: end.content.clone(),
        // What was asked of this turn alone is not asked again.
        input: TurnInput {
            parts: message.input.parts.clone(),
            tool_results: message.input.tool_results.clone(),
            history: message.input.history.clone(),
            history_follows: message.input.history_follows,
            ..TurnInput::default()
        },
        tool_calls: end.details.tool_calls.clone(),
        tokens: u32::try_from(tokens).unwrap_or(u32::MAX),
        accepted_at: Some(message.accepted_at),
    };
    if turn.input.tells_all() {
        // What the client tells is what was said: two tellings of the same would not do the next turn any good.
        versioned.checkpoint.window.clear();
        versioned.checkpoint.earlier_summaries.clear();
        versioned.checkpoint.summary = None;
    }
    push(&mut versioned.checkpoint.window, turn, worker.memory.most_kept());
    versioned
}
