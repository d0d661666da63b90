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
    problem::Problem,
    state::ApiState,
};

pub(crate) async fn get_session(
    State(state): State<Arc<ApiState>>,
    call: Call,
    PathId(id): PathId<SessionId>,
    RawQuery(query): RawQuery,
) -> Result<Json<Session>, Problem> {
    Query::none(query.as_deref())?;
    find_session(&state, &call.caller, id).await.map(Json)
}
