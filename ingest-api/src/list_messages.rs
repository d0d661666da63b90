//! `GET /v1/sessions/{id}/messages?limit=&after=&branch=`: what was said, oldest first; with `branch=all` also what later
//! turns stand in for.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, State},
};
use parlance_shared::{SessionId, message::Message, page::Page};

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
    path = "/v1/sessions/{session_id}/messages",
    operation_id = "listMessages",
    tag = "messages",
    summary = "What was said, oldest first",
    params(
        ("session_id" = SessionId, Path),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200,
            description = "Entries on a page; 50 unless given."),
        ("after" = Option<String>, Query, description = "The `next` of an earlier page."),
        ("branch" = Option<String>, Query, pattern = "^(current|all)$",
            description = "`all` lists also what later turns stand in for; each message then has superseded_by. `current` unless given."),
    ),
    responses((status = 200, description = "A page.", body = Page<Message>)),
    extensions(("x-problems" = json!(problems(&[Code::SessionNotFound, Code::UnknownCursor, Code::Unavailable])))),
)]
pub(crate) async fn list_messages(
    State(state): State<Arc<ApiState>>,
    call: Call,
    PathId(id): PathId<SessionId>,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<Message>>, Problem> {
    const BRANCHES: &[&str] = &["current", "all"];
    let query = Query::parse(query.as_deref(), &["limit", "after", "branch"])?;
    let page = query.page("after")?;
    let all = match query.get("branch") {
        None | Some("current") => false,
        Some("all") => true,
        Some(_) => {
            return Err(Problem::with_field("branch", Code::InvalidParameter, "must be current or all.", BRANCHES));
        }
    };
    find_session(&state, &call.caller, id).await?;
    let (user, limit) = (&call.caller.user, state.limits.read_timeout);
    let messages = if all {
        bounded(limit, "store", state.store.messages_of_all_branches(user, id, &page)).await
    } else {
        bounded(limit, "store", state.store.messages(user, id, &page)).await
    };
    Ok(Json(messages?))
}
