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
    problem::Problem,
    state::ApiState,
};

/// Less than the 60 s after which proxies cut a request.
const LONGEST_WAIT: u32 = 55;

pub(crate) async fn get_task(
    State(state): State<Arc<ApiState>>,
    call: Call,
    PathId(id): PathId<TaskId>,
    RawQuery(query): RawQuery,
) -> Result<Json<Task>, Problem> {
    let wait = Query::parse(query.as_deref(), &["wait"])?.number("wait", 0..=LONGEST_WAIT, 0)?;
    let task = find_task(&state, &call.caller, id).await?;
    let task = await_end(&state, &call.caller, task, Duration::from_secs(wait.into())).await?;
    note_session(&task);
    Ok(Json(task))
}
