//! `DELETE /v1/sessions/{id}`: what runs is cancelled, what was said is erased. The same call again is the same answer.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use http::StatusCode;
use parlance_shared::{SessionId, event::SessionDeleted};
use tracing::warn;

use crate::{
    bounded::bounded,
    call::Call,
    extract::{PathId, Query},
    openapi::problems,
    problem::{Code, Problem},
    publish::publish,
    state::ApiState,
};

#[utoipa::path(
    delete,
    path = "/v1/sessions/{session_id}",
    operation_id = "deleteSession",
    tag = "sessions",
    summary = "Delete a session",
    description = "Cancels what runs in it and erases what was said. Idempotent. Streams that are open end with `cancelled`, whose \
                   task has no text any more; whoever comes back later gets 404.",
    params(
        ("session_id" = SessionId, Path),
    ),
    responses((status = 204, description = "It is deleted.")),
    extensions(("x-problems" = json!(problems(&[Code::SessionNotFound, Code::Unavailable, Code::StorageFull])))),
)]
pub(crate) async fn delete_session(
    State(state): State<Arc<ApiState>>,
    call: Call,
    PathId(session_id): PathId<SessionId>,
    RawQuery(query): RawQuery,
) -> Result<StatusCode, Problem> {
    Query::none(query.as_deref())?;
    delete(&state, &call, session_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Accepted once it is on the bus; applied here at once as far as that works.
pub(crate) async fn delete(state: &ApiState, call: &Call, session_id: SessionId) -> Result<(), Problem> {
    let user_id = call.caller.user.clone();
    if !state.mint.made_for(&user_id, session_id) {
        return Err(Problem::session_not_found());
    }
    let deleted = SessionDeleted { session_id, user_id, deleted_at: state.clock.now() };
    publish(state, call, &deleted).await?;
    let limit = state.limits.apply_timeout;
    let (record, turns) = tokio::join!(
        bounded(limit, "store", state.store.record_session_deleted(&deleted)),
        bounded(limit, "turns", state.turns.delete_session(&deleted.user_id, session_id)),
    );
    for error in [record.err(), turns.err()].into_iter().flatten() {
        warn!(%error, "the deletion was accepted and will be applied later");
    }
    Ok(())
}
