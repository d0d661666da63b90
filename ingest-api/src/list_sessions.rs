//! `GET /v1/sessions?limit=&before=`: the caller's sessions, newest first.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, State},
};
use parlance_shared::{page::Page, session::Session};

use crate::{
    bounded::bounded,
    call::Call,
    extract::Query,
    openapi::problems,
    problem::{Code, Problem},
    state::ApiState,
};

#[utoipa::path(
    get,
    path = "/v1/sessions",
    operation_id = "listSessions",
    tag = "sessions",
    summary = "Your sessions, newest first",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200,
            description = "Entries on a page; 50 unless given."),
        ("before" = Option<String>, Query, description = "The `next` of an earlier page."),
    ),
    responses((status = 200, description = "A page.", body = Page<Session>)),
    extensions(("x-problems" = json!(problems(&[Code::UnknownCursor, Code::Unavailable])))),
)]
pub(crate) async fn list_sessions(
    State(state): State<Arc<ApiState>>,
    call: Call,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<Session>>, Problem> {
    let page = Query::parse(query.as_deref(), &["limit", "before"])?.page("before")?;
    let sessions = state.store.sessions(&call.caller.user, &page);
    Ok(Json(bounded(state.limits.read_timeout, "store", sessions).await?))
}
