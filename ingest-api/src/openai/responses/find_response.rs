//! The caller's response, from whoever knows of it: its task, and its request from the record.

use parlance_shared::{
    Caller, TaskId,
    event::MessageSubmitted,
    port::store::{Lookup, TurnOf},
    task::Task,
};
use tokio::time::{Duration, Instant, sleep};

use super::{echo::Echo, ids::not_found, known::Known};
use crate::{
    bounded::bounded,
    find_task::find_task,
    problem::{Code, Problem},
    state::ApiState,
};

/// Between two looks at the record.
const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// A response that may be fetched.
pub(super) struct Found {
    pub(super) task: Task,
    /// Its request; none while nothing but the bus has it.
    pub(super) message: Option<MessageSubmitted>,
}

impl Found {
    /// The task, and what is told of its request.
    pub(super) fn known(self, state: &ApiState) -> (Task, Known) {
        let known = match self.message {
            Some(message) => Known::of(state, message),
            None => Known::by_id(state, &self.task),
        };
        (self.task, known)
    }
}

/// Also of one that was created a moment ago: its record is waited for, and what is told without it is less, never a 404.
pub(super) async fn find_response(state: &ApiState, caller: &Caller, id: TaskId) -> Result<Found, Problem> {
    if is_hidden(state, caller, id).await? {
        return Err(not_found());
    }
    let deadline = Instant::now() + state.limits.record_patience;
    loop {
        let task = find_task(state, caller, id).await.map_err(as_response)?;
        let message = request_of(state, caller, &task).await?;
        // The owner may have wanted nobody to fetch it.
        if message.as_ref().is_some_and(|message| !Echo::of(&message.input).store) {
            return Err(not_found());
        }
        if message.is_some() || Instant::now() >= deadline {
            return Ok(Found { task, message });
        }
        sleep(LOOK_AGAIN).await;
    }
}

pub(super) async fn is_hidden(state: &ApiState, caller: &Caller, id: TaskId) -> Result<bool, Problem> {
    let looking = state.store.response_is_hidden(&caller.user, id);
    Ok(bounded(state.limits.read_timeout, "store", looking).await?)
}

async fn request_of(state: &ApiState, caller: &Caller, task: &Task) -> Result<Option<MessageSubmitted>, Problem> {
    let Some(session) = task.session_id else { return Ok(None) };
    let turn = state.store.turn(&caller.user, session, TurnOf::Task(task.id));
    match bounded(state.limits.read_timeout, "store", turn).await? {
        Lookup::Found(turn) => Ok(Some(turn.message)),
        Lookup::Deleted => Err(not_found()),
        Lookup::Unknown => Ok(None),
    }
}

/// What is no task of the caller's is no response of theirs.
pub(super) fn as_response(problem: Problem) -> Problem {
    match problem.code() {
        Code::TaskNotFound | Code::SessionNotFound => not_found(),
        _ => problem,
    }
}
