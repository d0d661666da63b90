//! `GET /v1/sessions?limit=&before=`: the caller's sessions, newest first.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, State},
};
use parlance_shared::{page::Page, session::Session};

use crate::{bounded::bounded, call::Call, extract::Query, problem::Problem, state::ApiState};

pub(crate) async fn list_sessions(
    State(state): State<Arc<ApiState>>,
    call: Call,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<Session>>, Problem> {
    let page = Query::parse(query.as_deref(), &["limit", "before"])?.page("before")?;
    let sessions = state.store.sessions(&call.caller.user, &page);
    Ok(Json(bounded(state.limits.read_timeout, "store", sessions).await?))
}
