//! `GET /v1/sessions/{id}`

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, State},
};
use parlance_shared::{SessionId, session::Session};

use crate::{
    call::Call,
    extract::{PathId, Query},
    find_session::find_session,
    openapi::problems,
    problem::{Code, Problem},
    state::ApiState,
};

#[utoipa::path(
    get,
    path = "/v1/sessions/{session_id}",
    operation_id = "getSession",
    tag = "sessions",
    summary = "One session",
    params(
        ("session_id" = SessionId, Path),
    ),
    responses((status = 200, description = "The session.", body = Session)),
    extensions(("x-problems" = json!(problems(&[Code::SessionNotFound, Code::Unavailable])))),
)]
pub(crate) async fn get_session(
    State(state): State<Arc<ApiState>>,
    call: Call,
    PathId(id): PathId<SessionId>,
    RawQuery(query): RawQuery,
) -> Result<Json<Session>, Problem> {
    Query::none(query.as_deref())?;
    find_session(&state, &call.caller, id).await.map(Json)
}
