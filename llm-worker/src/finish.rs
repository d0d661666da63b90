//! Ends a task together with the checkpoint that the session's next turn starts from.

use parlance_shared::{
    content::TurnInput,
    event::MessageSubmitted,
    port::turns::{CheckpointTurn, Claim, ClaimError, TurnEnd, VersionedCheckpoint},
    task::{Status, Task},
};

use crate::{
    Worker,
    port_call::patiently,
    stop::Stop,
    window::{WINDOW, before_replaced, push},
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
/// owner was given as an answer, and a question without one would only invite the model to answer it again.
///
/// A try whose answer was lost may have worked; the next one is fenced then, and redelivery finds the task ended.
pub(crate) async fn finish(
    worker: &Worker,
    claim: &Claim,
    message: &MessageSubmitted,
    end: TurnEnd,
    mut loaded: Option<VersionedCheckpoint>,
) -> Result<Task, Stop> {
    let parts = &worker.parts;
    let remembered = end.status != Status::Failed && !end.content.is_empty();
    let mut stale = 0;
    loop {
        let checkpoint = match (remembered, loaded.take()) {
            (false, _) => None,
            (true, Some(loaded)) => Some(with_turn(loaded, message, &end)),
            (true, None) => Some(with_turn(load_checkpoint(worker, claim).await?, message, &end)),
        };
        let save = || parts.turns.finish(claim, end.clone(), checkpoint.clone());
        match patiently(&parts.lifecycle, "end of turn", save).await {
            Ok(task) => return Ok(task),
            // Without what was loaded, the next round loads it anew.
            Err(ClaimError::StaleCheckpoint) if stale < STALE_TRIES => stale += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

fn with_turn(mut versioned: VersionedCheckpoint, message: &MessageSubmitted, end: &TurnEnd) -> VersionedCheckpoint {
    let turn = CheckpointTurn {
        task_id: message.task_id,
        user: message.content.clone(),
        assistant: end.content.clone(),
        // What was asked of this turn alone is not asked again.
        input: TurnInput {
            parts: message.input.parts.clone(),
            tool_results: message.input.tool_results.clone(),
            ..TurnInput::default()
        },
        tool_calls: end.details.tool_calls.clone(),
        tokens: 0,
    };
    let window = &mut versioned.checkpoint.window;
    let kept = before_replaced(window, message.input.replaces.as_ref()).len();
    window.truncate(kept);
    push(window, turn, WINDOW);
    versioned
}
