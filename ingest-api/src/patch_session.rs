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
    problem::Problem,
    session_fields::{SessionFields, change_session},
    state::ApiState,
};

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
