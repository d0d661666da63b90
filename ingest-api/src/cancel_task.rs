//! `POST /v1/tasks/{id}/cancel`: records the wish to stop, and answers with the task, as a rule at its end.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, State},
};
use parlance_shared::{TaskId, port::turns::CancelOutcome, task::Task};

use crate::{
    await_end::await_end,
    bounded::bounded,
    call::Call,
    extract::{PathId, Query},
    find_task::find_task,
    problem::Problem,
    state::ApiState,
};

pub(crate) async fn cancel_task(
    State(state): State<Arc<ApiState>>,
    call: Call,
    PathId(id): PathId<TaskId>,
    RawQuery(query): RawQuery,
) -> Result<Json<Task>, Problem> {
    Query::none(query.as_deref())?;
    let task = find_task(&state, &call.caller, id).await?;
    if task.status.is_terminal() {
        return Ok(Json(task));
    }
    let limits = &state.limits;
    let asked = state.turns.request_cancel(&call.caller.user, id);
    match bounded(limits.publish_timeout, "turns", asked).await? {
        CancelOutcome::Ended(task) => Ok(Json(*task)),
        CancelOutcome::Requested => await_end(&state, &call.caller, task, limits.cancel_patience).await.map(Json),
        CancelOutcome::UnknownTask => Err(Problem::task_not_found()),
    }
}
