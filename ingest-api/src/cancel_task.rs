//! `POST /v1/tasks/{id}/cancel`: records the wish to stop, and answers with the task, as a rule at its end.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, State},
};
use parlance_shared::{Caller, TaskId, port::turns::CancelOutcome, task::Task};

use crate::{
    await_end::await_end,
    bounded::bounded,
    call::Call,
    extract::{PathId, Query},
    find_task::{find_task, note_session},
    openapi::problems,
    problem::{Code, Problem},
    state::ApiState,
};

#[utoipa::path(
    post,
    path = "/v1/tasks/{task_id}/cancel",
    operation_id = "cancelTask",
    tag = "tasks",
    summary = "Stop a task",
    description = "Records the wish to stop, which outlives crashes, and waits up to a second for the task's end. A task that has ended is \
                   left as it is. Idempotent; needs no body.",
    params(
        ("task_id" = TaskId, Path),
    ),
    responses((status = 200, description = "The task, as a rule `cancelled`.", body = Task)),
    extensions(("x-problems" = json!(problems(&[Code::TaskNotFound, Code::Unavailable])))),
)]
pub(crate) async fn cancel_task(
    State(state): State<Arc<ApiState>>,
    call: Call,
    PathId(id): PathId<TaskId>,
    RawQuery(query): RawQuery,
) -> Result<Json<Task>, Problem> {
    Query::none(query.as_deref())?;
    let task = cancel(&state, &call.caller, id).await?;
    note_session(&task);
    Ok(Json(task))
}

/// Records the wish; gives the task, as a rule at its end.
pub(crate) async fn cancel(state: &ApiState, caller: &Caller, id: TaskId) -> Result<Task, Problem> {
    let task = find_task(state, caller, id).await?;
    if task.status.is_terminal() {
        return Ok(task);
    }
    let limits = &state.limits;
    let asked = state.turns.request_cancel(&caller.user, id);
    match bounded(limits.publish_timeout, "turns", asked).await? {
        // Cancelled before any worker had it: only the record can tell the rest.
        CancelOutcome::Ended(task) if task.session_id.is_none() => find_task(state, caller, id).await,
        CancelOutcome::Ended(task) => Ok(*task),
        CancelOutcome::Requested => await_end(state, caller, task, limits.cancel_patience).await,
        CancelOutcome::UnknownTask => Err(Problem::task_not_found()),
    }
}
