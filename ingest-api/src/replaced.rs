//! The turn that a message stands in for: looked up in the record, and where the conversation is cut for it.
//!
//! A worker cuts the session's checkpoint at that turn's time. What has left the checkpoint's window can't be cut out of it; a
//! failed turn was never in it, so for one that stood in for another, the cut is where that one was.

use chrono::TimeDelta;
use parlance_shared::{
    Caller, MessageId, SessionId, TaskId,
    content::Replaced,
    id_mint::IdMint,
    port::store::{Lookup, StoredTurn, TurnOf},
    task::Status,
};
use tokio::time::{Duration, Instant, sleep};

use crate::{
    bounded::bounded,
    find_task::find_task,
    problem::{Code, Problem},
    state::ApiState,
};

/// Whatever was accepted longer ago than this is in the record.
const RECORDED_BY: TimeDelta = TimeDelta::seconds(60);
/// Between two looks at the record.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The turn of a user's message that is to be edited.
pub(crate) async fn edited(
    state: &ApiState,
    caller: &Caller,
    session: SessionId,
    message: MessageId,
) -> Result<StoredTurn, Problem> {
    if !state.mint.made_for(&caller.user, message) {
        let detail = "names no message of yours.";
        return Err(Problem::with_field("edits", Code::MessageNotFound, detail, &[]));
    }
    // Of an id that follows from an idempotency key, no time is known.
    let may_come = IdMint::made_at(message).is_none_or(|at| state.clock.now() - at < RECORDED_BY);
    let patience = if may_come { state.limits.record_patience } else { Duration::ZERO };
    let Some(turn) = within(patience, state, caller, session, TurnOf::Message(message)).await? else {
        if !may_come {
            let detail = "names no message of yours in this session.";
            return Err(Problem::with_field("edits", Code::MessageNotFound, detail, &[]));
        }
        let detail = "names no message of yours in this session, or one that is not recorded yet.";
        return Err(Problem::with_field("edits", Code::MessageNotRecorded, detail, &[]).retry_after(1));
    };
    if turn.superseded_by.is_some() {
        let detail = "names a message that another one stands in for; edit that one.";
        return Err(Problem::with_field("edits", Code::MessageSuperseded, detail, &[]));
    }
    Ok(turn)
}

/// A turn of the record; waits a little for one that was accepted a moment ago.
pub(crate) async fn recorded(
    state: &ApiState,
    caller: &Caller,
    session: SessionId,
    which: TurnOf,
) -> Result<Option<StoredTurn>, Problem> {
    within(state.limits.record_patience, state, caller, session, which).await
}

async fn within(
    patience: Duration,
    state: &ApiState,
    caller: &Caller,
    session: SessionId,
    which: TurnOf,
) -> Result<Option<StoredTurn>, Problem> {
    let deadline = Instant::now() + patience;
    loop {
        let turn = state.store.turn(&caller.user, session, which);
        match bounded(state.limits.read_timeout, "store", turn).await? {
            Lookup::Found(turn) => return Ok(Some(turn)),
            Lookup::Deleted => return Err(Problem::session_not_found()),
            Lookup::Unknown if Instant::now() >= deadline => return Ok(None),
            Lookup::Unknown => sleep(LOOK_AGAIN).await,
        }
    }
}

/// What the worker is told of it. `waiting` are turns that wait or run.
pub(crate) async fn replaced(
    state: &ApiState,
    caller: &Caller,
    turn: &StoredTurn,
    waiting: &[TaskId],
) -> Result<Replaced, Problem> {
    let message = &turn.message;
    let itself = Replaced { task_id: message.task_id, accepted_at: message.accepted_at };
    let checkpoint = state.turns.checkpoint(&caller.user, message.session_id);
    let checkpoint = bounded(state.limits.read_timeout, "turns", checkpoint).await?.checkpoint;
    if checkpoint.window.iter().any(|turn| turn.task_id == message.task_id) {
        return Ok(itself);
    }
    // It stands in for another one, and may never come to take its place.
    let cut = message.input.replaces.clone().unwrap_or(itself);
    if waiting.contains(&message.task_id) {
        return Ok(cut);
    }
    let task = find_task(state, caller, message.task_id).await?;
    let said_something = !task.reply.content.is_empty() || !task.details.tool_calls.is_empty();
    let was_in_window = said_something && task.status != Status::Failed;
    let summarised = checkpoint.summary.and_then(|summary| summary.through_at);
    if was_in_window || summarised.is_some_and(|through| message.accepted_at <= through) {
        return Err(Problem::new(
            Code::MessageTooOld,
            "The conversation has gone on too far since this message: it is known by its summary only, which can't be undone.",
        ));
    }
    Ok(cut)
}
