//! `GET /v1/sessions/{id}/summary?version=`: what the model is shown of the turns that it no longer sees word for word.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, State},
};
use parlance_shared::{SessionId, port::store::Lookup, summary::StoredSummary};

use crate::{
    bounded::bounded,
    call::Call,
    extract::{PathId, Query},
    find_session::find_session,
    openapi::problems,
    problem::{Code, Problem},
    state::ApiState,
};

#[utoipa::path(
    get,
    path = "/v1/sessions/{session_id}/summary",
    operation_id = "getSummary",
    tag = "sessions",
    summary = "What the model is shown of the turns that it no longer sees word for word",
    params(
        ("session_id" = SessionId, Path),
        ("version" = Option<u32>, Query, minimum = 1, maximum = 2_147_483_647,
            description = "Which version; the latest unless given."),
    ),
    responses((status = 200, description = "The summary.", body = StoredSummary)),
    extensions(("x-problems" = json!(problems(&[Code::SessionNotFound, Code::SummaryNotFound, Code::Unavailable])))),
)]
pub(crate) async fn get_summary(
    State(state): State<Arc<ApiState>>,
    call: Call,
    PathId(id): PathId<SessionId>,
    RawQuery(query): RawQuery,
) -> Result<Json<StoredSummary>, Problem> {
    let query = Query::parse(query.as_deref(), &["version"])?;
    // No version is 0.
    let version = Some(query.number("version", 1..=i32::MAX as u32, 0)?).filter(|version| *version > 0);
    let user = &call.caller.user;
    match bounded(state.limits.read_timeout, "store", state.store.summary(user, id, version)).await? {
        Lookup::Found(summary) => Ok(Json(summary)),
        Lookup::Deleted => Err(Problem::session_not_found()),
        Lookup::Unknown => {
            find_session(&state, &call.caller, id).await?;
            Err(Problem::new(Code::SummaryNotFound, missing(version)))
        }
    }
}

fn missing(version: Option<u32>) -> &'static str {
    match version {
        Some(_) => "The session has no summary of this version (yet).",
        None => {
            "The session has no summary yet: it gets one when it has grown too long to be shown to the model whole."
        }
    }
}
