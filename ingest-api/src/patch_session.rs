//! `PATCH /v1/sessions/{id}`: a field that is absent is left alone, null clears it.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, State},
};
use parlance_shared::{SessionId, event::SessionChanged, session::Session};

use crate::{
    call::Call,
    extract::{JsonBody, PathId, Query},
    find_session::find_session,
    openapi::problems,
    problem::{Code, Problem},
    session_fields::{SessionFields, change_session},
    state::ApiState,
};

#[utoipa::path(
    patch,
    path = "/v1/sessions/{session_id}",
    operation_id = "patchSession",
    tag = "sessions",
    summary = "Change a session",
    description = "A field that is absent is left alone; null clears it.",
    params(
        ("session_id" = SessionId, Path),
    ),
    request_body = SessionFields,
    responses((status = 200, description = "The session as changed.", body = Session)),
    extensions(("x-problems" = json!(problems(&[Code::SessionNotFound, Code::Unavailable, Code::StorageFull])))),
)]
pub(crate) async fn patch_session(
    State(state): State<Arc<ApiState>>,
    call: Call,
    PathId(id): PathId<SessionId>,
    RawQuery(query): RawQuery,
    JsonBody(fields): JsonBody<SessionFields>,
) -> Result<Json<Session>, Problem> {
    Query::none(query.as_deref())?;
    fields.validate()?;
    let session = find_session(&state, &call.caller, id).await?;
    if fields.is_empty() {
        return Ok(Json(session));
    }
    let change = change_session(&state, &call, id, state.clock.now(), fields).await?;
    Ok(Json(changed(session, change)))
}

/// As it reads once the change is applied.
fn changed(mut session: Session, change: SessionChanged) -> Session {
    if let Some(heading) = change.heading {
        session.heading = heading;
    }
    if let Some(instructions) = change.instructions {
        session.instructions = instructions;
    }
    if let Some(metadata) = change.metadata {
        session.metadata = metadata;
    }
    if let Some(strategy) = change.strategy {
        session.strategy = strategy;
    }
    session.updated_at = session.updated_at.max(Some(change.changed_at));
    session
}
