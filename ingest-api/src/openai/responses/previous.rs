//! `previous_response_id`: the next turn of the same conversation where that response is its last, or else a fork: a new
//! conversation that begins with what was said up to it.

use parlance_shared::{
    Caller, SessionId, TaskId,
    id_mint::IdMint,
    port::{
        llm::PromptMessage,
        store::{StoredTurn, TurnOf},
    },
    task::Task,
};
use tokio::time::{Duration, Instant, sleep};

use super::{echo::Echo, find_response::is_hidden, said_so_far::said_so_far};
use crate::{
    admit::look_limit,
    bounded::bounded,
    find_task::find_task,
    problem::{Code, Problem},
    replaced::recorded,
    state::ApiState,
};

const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// Where the new response belongs.
pub(super) enum Place {
    /// Behind that response, in its conversation.
    Next(SessionId),
    /// In a conversation of its own, of which this was said before.
    Fork(Vec<PromptMessage>),
}

pub(super) async fn place_after(state: &ApiState, caller: &Caller, previous: TaskId) -> Result<Place, Problem> {
    if !state.mint.made_for(&caller.user, previous) || is_hidden(state, caller, previous).await? {
        return Err(unknown());
    }
    let (task, session) = with_session(state, caller, previous).await?;
    let turn = recorded(state, caller, session, TurnOf::Task(previous)).await.map_err(as_previous)?;
    let Some(turn) = turn else {
        return Err(Problem::unavailable(1, "the record does not have the previous response yet"));
    };
    if !Echo::of(&turn.message.input).store {
        return Err(unknown());
    }
    if is_last(state, caller, &turn).await? {
        return Ok(Place::Next(session));
    }
    Ok(Place::Fork(said_so_far(state, caller, &turn, task).await?))
}

/// One that was created a moment ago may not have reached any worker or the record.
async fn with_session(state: &ApiState, caller: &Caller, id: TaskId) -> Result<(Task, SessionId), Problem> {
    let deadline = Instant::now() + state.limits.record_patience;
    loop {
        let task = find_task(state, caller, id).await.map_err(as_previous)?;
        if let Some(session) = task.session_id {
            return Ok((task, session));
        }
        if Instant::now() >= deadline {
            return Err(Problem::unavailable(1, "nobody knows the previous response's conversation yet"));
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// No later turn is recorded, waits, or was accepted here a moment ago. Ids tell the order in which they were made.
async fn is_last(state: &ApiState, caller: &Caller, turn: &StoredTurn) -> Result<bool, Problem> {
    if !turn.is_last || turn.superseded_by.is_some() {
        return Ok(false);
    }
    let (session, itself) = (turn.message.session_id, turn.message.task_id);
    let recent = state.recent.tasks(session);
    if recent.iter().rev().take_while(|task| **task != itself).count() > 0 && recent.contains(&itself) {
        return Ok(false);
    }
    let limit = look_limit(state.limits.queued_per_session);
    let looking = state.store.admission(&caller.user, session, &recent, limit);
    let known = bounded(state.limits.read_timeout, "store", looking).await?;
    let made_at = IdMint::made_at(itself).unwrap_or(turn.message.accepted_at);
    let later = |task: &TaskId| IdMint::made_at(*task).is_some_and(|at| at > made_at);
    Ok(!recent.iter().chain(&known.waiting).any(|task| *task != itself && later(task)))
}

fn as_previous(problem: Problem) -> Problem {
    match problem.code() {
        Code::TaskNotFound | Code::SessionNotFound => unknown(),
        _ => problem,
    }
}

fn unknown() -> Problem {
    let detail = "names no response of yours, or one that was deleted or not stored.";
    Problem::with_field("previous_response_id", Code::PreviousResponseNotFound, detail, &[])
}
