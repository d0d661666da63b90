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
    problem::{Code, Problem},
    state::ApiState,
};

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
