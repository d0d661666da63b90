//! A message that was sent before is to be answered anew, as it was or with other words. The client names the message as it
//! first did; what stands in for it by now is looked up.

use std::time::Instant;

use parlance_shared::{
    Caller, MessageId, SessionId, TaskId,
    event::{MessageSubmitted, Strategy},
    port::store::{Lookup, StoredTurn, TurnOf},
};

use super::{
    echo::Echo,
    read_chat::{How, Wanted},
    reply::reply_id,
};
use crate::{
    bounded::bounded,
    call::Call,
    find_task::find_task,
    idempotency,
    problem::{Code, Problem},
    replaced::recorded,
    state::ApiState,
    submit::{StandsFor, Submission, submit},
};

/// The most versions of a message that are looked through.
const MAX_VERSIONS: usize = 100;

/// Accepts it; `None` when the message never arrived.
pub(super) async fn ask_again(
    state: &ApiState,
    call: &Call,
    session: SessionId,
    wanted: &Wanted,
    began: Instant,
) -> Result<Option<MessageSubmitted>, Problem> {
    let Some(turn) = latest_version(state, &call.caller, session, wanted).await? else { return Ok(None) };
    let asked = &wanted.asked;
    let before = &turn.message;
    let is_same = before.content == asked.content && before.input.parts == asked.input.parts;
    if is_same && !find_task(state, &call.caller, before.task_id).await?.status.is_terminal() {
        // The same request once more, or a page that lost its stream.
        return Ok(Some(turn.message));
    }
    let fingerprint = idempotency::fingerprint(Some(session), asked);
    let user = &call.caller.user;
    // The same wish about the same version is one task.
    let key = format!("ui again {} {fingerprint}", before.task_id);
    let task_id: TaskId = state.mint.derive(user, &key);
    let keeps_message = wanted.how == How::Regenerate && is_same && turn.is_last;
    let message_id: MessageId = if keeps_message { before.message_id } else { state.mint.derive(user, &key) };
    let submitted = MessageSubmitted {
        task_id,
        session_id: session,
        message_id,
        reply_message_id: reply_id(state, &call.caller, task_id),
        user_id: user.clone(),
        content: asked.content.clone(),
        model: asked.model.clone().or_else(|| before.model.clone()),
        strategy: Strategy::Interrupt,
        metadata: asked.metadata.clone().or_else(|| before.metadata.clone()),
        accepted_at: state.clock.now_precise(),
        fingerprint: Some(fingerprint),
        input: asked.input.clone(),
        looked_at: None,
    };
    // Whoever asks anew has done with what runs.
    let strategy = Some(asked.strategy.unwrap_or(Strategy::Interrupt));
    let stands_for = match keeps_message {
        true => StandsFor::LastTurn(Box::new(turn)),
        false => StandsFor::Message(turn.message.message_id),
    };
    let submission = Submission { submitted, session_is_new: false, strategy, stands_for: Some(stands_for) };
    submit(state, call, submission, began).await.map(Some)
}

/// The turn that stands for the message now.
async fn latest_version(
    state: &ApiState,
    caller: &Caller,
    session: SessionId,
    wanted: &Wanted,
) -> Result<Option<StoredTurn>, Problem> {
    catch_up(state, caller, session).await?;
    let message = wanted.chat.message(state, caller, &wanted.message);
    let first = state.store.turn(&caller.user, session, TurnOf::Message(message));
    let mut turn = match bounded(state.limits.read_timeout, "store", first).await? {
        Lookup::Found(turn) => turn,
        Lookup::Deleted => return Err(Problem::session_not_found()),
        Lookup::Unknown if has_arrived(state, caller, session, wanted).await? => {
            let turn = recorded(state, caller, session, TurnOf::Message(message)).await?;
            turn.ok_or_else(|| Problem::unavailable(1, "the record does not have the message yet"))?
        }
        Lookup::Unknown => return Ok(None),
    };
    for _ in 0..MAX_VERSIONS {
        let Some(next) = turn.superseded_by else { return Ok(Some(turn)) };
        let Some(next) = recorded(state, caller, session, TurnOf::Task(next)).await? else { break };
        // Of a message that went with an earlier one, nothing stands in its place.
        let is_version = next.message.message_id == turn.message.message_id
            || Echo::of(&next.message.input) == Some(Echo::Answers(wanted.message.clone()));
        if !is_version {
            break;
        }
        turn = next;
    }
    Err(Problem::new(
        Code::MessageSuperseded,
        "The conversation has gone on from an earlier message; load the chat anew.",
    ))
}

/// Waits a little until the record has the latest turn that is known otherwise: who edits twice in a row means the second
/// version, which it may not have yet.
async fn catch_up(state: &ApiState, caller: &Caller, session: SessionId) -> Result<(), Problem> {
    let checkpoint = state.turns.checkpoint(&caller.user, session);
    let checkpoint = bounded(state.limits.read_timeout, "turns", checkpoint).await?.checkpoint;
    let remembered = checkpoint.window.last().map(|turn| turn.task_id);
    let accepted = state.recent.tasks(session).last().copied();
    for task in remembered.into_iter().chain(accepted) {
        recorded(state, caller, session, TurnOf::Task(task)).await?;
    }
    Ok(())
}

/// Whether anybody but the record knows the message.
async fn has_arrived(state: &ApiState, caller: &Caller, session: SessionId, wanted: &Wanted) -> Result<bool, Problem> {
    let task = wanted.chat.task(state, caller, &wanted.message);
    if state.recent.tasks(session).contains(&task) {
        return Ok(true);
    }
    let known = bounded(state.limits.read_timeout, "turns", state.turns.task(&caller.user, task)).await?;
    Ok(known.is_some())
}
