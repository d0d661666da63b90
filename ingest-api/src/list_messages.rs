//! `GET /v1/sessions/{id}/messages?limit=&after=`: what was said, oldest first.

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
    problem::Problem,
    state::ApiState,
};

pub(crate) async fn list_messages(
    State(state): State<Arc<ApiState>>,
    call: Call,
    PathId(id): PathId<SessionId>,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<Message>>, Problem> {
    let page = Query::parse(query.as_deref(), &["limit", "after"])?.page("after")?;
    find_session(&state, &call.caller, id).await?;
    let messages = state.store.messages(&call.caller.user, id, &page);
    Ok(Json(bounded(state.limits.read_timeout, "store", messages).await?))
}
