//! Where a task stands, from whoever knows most: its worker's record, the durable record, or nobody but the id itself.
//!
//! The last one is what makes a task readable from the 202 on, before any worker has heard of it.

use std::time::Instant;

use parlance_shared::{
    Caller, TaskId,
    id_mint::IdMint,
    port::{reply_log::FollowError, store::Lookup},
    task::{Task, Timings},
};
use tracing::Span;

use crate::{bounded::bounded, problem::Problem, state::ApiState};

/// The caller's task, or a 404 that says nothing of other users' tasks.
pub(crate) async fn find_task(state: &ApiState, caller: &Caller, id: TaskId) -> Result<Task, Problem> {
    let limit = state.limits.read_timeout;
    let began = Instant::now();
    let found = bounded(limit, "turns", state.turns.task(&caller.user, id)).await?;
    state.door.limits.pressure.looked_up(began.elapsed());
    match found {
        Some(view) if view.session_deleted => Err(Problem::task_not_found()),
        Some(view) if view.reply_expired => with_stored_reply(state, caller, view.task).await,
        Some(view) if view.task.session_id.is_none() => with_stored_origin(state, caller, view.task).await,
        Some(view) => Ok(view.task),
        None => stored_or_queued(state, caller, id).await,
    }
}

/// Once a call knows its task's session, its log lines carry it. To be said once per call.
pub(crate) fn note_session(task: &Task) {
    if let Some(session_id) = task.session_id {
        Span::current().record("session_id", tracing::field::display(session_id));
    }
}

async fn with_stored_reply(state: &ApiState, caller: &Caller, mut task: Task) -> Result<Task, Problem> {
    match bounded(state.limits.read_timeout, "store", state.store.task(&caller.user, task.id)).await? {
        Lookup::Found(stored) if stored.task.status.is_terminal() => {
            task.reply = stored.task.reply;
            Ok(task)
        }
        Lookup::Deleted => Err(Problem::task_not_found()),
        // Nothing is lost: the event with the reply waits to be applied.
        Lookup::Found(_) | Lookup::Unknown => {
            Err(Problem::unavailable(5, "the reply has left the log, and the store does not have it yet"))
        }
    }
}

/// A task that was cancelled before any worker had it is known by its id only; the durable record may know the rest.
async fn with_stored_origin(state: &ApiState, caller: &Caller, mut task: Task) -> Result<Task, Problem> {
    let times = &mut task.timings;
    match bounded(state.limits.read_timeout, "store", state.store.task(&caller.user, task.id)).await? {
        Lookup::Found(stored) => {
            let Task { session_id, message_id, reply, timings, .. } = stored.task;
            (task.session_id, task.message_id, task.reply.message_id) = (session_id, message_id, reply.message_id);
            times.accepted_at = timings.accepted_at;
        }
        Lookup::Deleted => return Err(Problem::task_not_found()),
        Lookup::Unknown => times.accepted_at = times.accepted_at.or(IdMint::made_at(task.id)),
    }
    *times = Timings::from_instants(times.accepted_at, times.started_at, times.first_token_at, times.finished_at);
    Ok(task)
}

async fn stored_or_queued(state: &ApiState, caller: &Caller, id: TaskId) -> Result<Task, Problem> {
    match bounded(state.limits.read_timeout, "store", state.store.task(&caller.user, id)).await? {
        Lookup::Found(stored) => Ok(stored.task),
        Lookup::Deleted => Err(Problem::task_not_found()),
        Lookup::Unknown if state.mint.made_for(&caller.user, id) => {
            let mut task = Task::queued(id);
            task.timings = Timings::from_instants(IdMint::made_at(id), None, None, None);
            Ok(task)
        }
        Lookup::Unknown => Err(Problem::task_not_found()),
    }
}

/// Problems of following a log whose task was found. `place` is where the cursor came from.
pub(crate) fn follow_problem(error: FollowError, place: &'static str) -> Problem {
    match error {
        FollowError::UnknownTask => Problem::task_not_found(),
        FollowError::UnknownCursor(_) => unknown_cursor(place),
        FollowError::Expired => Problem::unavailable(1, "the log expired while it was opened"),
        FollowError::Port(error) => error.into(),
    }
}

/// The answer to a cursor that no event of the task ever carried.
pub(crate) fn unknown_cursor(place: &'static str) -> Problem {
    let detail = "must be the id of an event that this task's stream has sent.";
    Problem::with_field(place, crate::problem::Code::UnknownCursor, detail, &["the id of an event of this stream"])
}
