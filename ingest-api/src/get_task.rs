//! `GET /v1/tasks/{id}?wait=SECONDS`: the task as it stands, or as it ends if that comes within the wait.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{RawQuery, State},
};
use parlance_shared::{TaskId, task::Task};

use crate::{
    await_end::await_end,
    call::Call,
    extract::{PathId, Query},
    find_task::{find_task, note_session},
    openapi::problems,
    problem::{Code, Problem},
    state::ApiState,
};

/// Less than the 60 s after which proxies cut a request.
const LONGEST_WAIT: u32 = 55;

#[utoipa::path(
    get,
    path = "/v1/tasks/{task_id}",
    operation_id = "getTask",
    tag = "tasks",
    summary = "A task as it stands, or as it ends",
    params(
        ("task_id" = TaskId, Path),
        ("wait" = Option<u32>, Query, minimum = 0, maximum = 55,
            description = "Wait up to so many seconds for the task's end; 0 unless given."),
    ),
    responses((status = 200, description = "The task.", body = Task)),
    extensions(("x-problems" = json!(problems(&[Code::TaskNotFound, Code::TooManyStreams])))),
)]
pub(crate) async fn get_task(
    State(state): State<Arc<ApiState>>,
    call: Call,
    PathId(id): PathId<TaskId>,
    RawQuery(query): RawQuery,
) -> Result<Json<Task>, Problem> {
    let wait = Query::parse(query.as_deref(), &["wait"])?.number("wait", 0..=LONGEST_WAIT, 0)?;
    let task = find_task(&state, &call.caller, id).await?;
    let _slot =
        if wait > 0 && !task.status.is_terminal() { state.door.limits.stream(&call.caller.user)? } else { None };
    let task = await_end(&state, &call.caller, task, Duration::from_secs(wait.into())).await?;
    note_session(&task);
    Ok(Json(task))
}
