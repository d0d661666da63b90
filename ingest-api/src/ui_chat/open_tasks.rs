//! What waits or runs in a chat: by the record and the turns, and by what this instance accepted a moment ago.

use parlance_shared::{
    Caller, SessionId, TaskId,
    port::store::{Lookup, TurnOf},
    task::Task,
};
use tokio::time::{Duration, Instant, sleep};

use super::chat_id::ChatId;
use crate::{
    admit::look_limit,
    bounded::bounded,
    extract::Query,
    find_task::find_task,
    problem::{Code, Problem},
    state::ApiState,
};

/// Between two looks for a message that must be about to arrive.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// The query parameter by which a client names the message whose reply it looks for.
const MESSAGE: &str = "message_id";

/// The message that the query names.
pub(super) fn message_in(query: Option<&str>) -> Result<Option<String>, Problem> {
    let query = Query::parse(query, &[MESSAGE])?;
    match query.get(MESSAGE) {
        None => Ok(None),
        Some(name) if super::chat_id::is_name(name) => Ok(Some(name.to_owned())),
        Some(_) => {
            let accepted = &["1 to 255 bytes without control characters"];
            Err(Problem::with_field(MESSAGE, Code::InvalidParameter, "must be the id of a message.", accepted))
        }
    }
}

/// Tasks of the chat that have not ended, in no order. With the name of the user's last message they are found on any
/// instance, however soon after it was accepted; without, once a worker or the record knows of them.
pub(super) async fn open_tasks(
    state: &ApiState,
    caller: &Caller,
    session: SessionId,
    chat: &ChatId,
    message: Option<&str>,
) -> Result<Vec<TaskId>, Problem> {
    let named = message.map(|message| chat.task(state, caller, message));
    let deadline = Instant::now() + state.limits.record_patience;
    loop {
        let recent = state.recent.tasks(session);
        let limit = look_limit(state.limits.queued_per_session);
        let looking = state.store.admission(&caller.user, session, &recent, limit);
        let known = bounded(state.limits.read_timeout, "store", looking).await?;
        if known.deleted {
            return Err(Problem::session_not_found());
        }
        let Some(named) = named.filter(|_| known.waiting.is_empty()) else { return Ok(known.waiting) };
        // It may have ended, or be on its way on the bus. An id that anybody can derive proves nothing.
        if Instant::now() >= deadline || is_known(state, caller, session, named).await? {
            return Ok(Vec::new());
        }
        sleep(LOOK_AGAIN).await;
    }
}

async fn is_known(state: &ApiState, caller: &Caller, session: SessionId, task: TaskId) -> Result<bool, Problem> {
    let limit = state.limits.read_timeout;
    if bounded(limit, "turns", state.turns.task(&caller.user, task)).await?.is_some() {
        return Ok(true);
    }
    let turn = state.store.turn(&caller.user, session, TurnOf::Task(task));
    Ok(bounded(limit, "store", turn).await? != Lookup::Unknown)
}

/// Of several, the one that was accepted last: it answers the last message.
pub(super) async fn latest(state: &ApiState, caller: &Caller, tasks: &[TaskId]) -> Result<Option<Task>, Problem> {
    let mut latest: Option<Task> = None;
    for task in tasks {
        let task = find_task(state, caller, *task).await?;
        if latest.as_ref().is_none_or(|latest| latest.timings.accepted_at <= task.timings.accepted_at) {
            latest = Some(task);
        }
    }
    Ok(latest)
}
