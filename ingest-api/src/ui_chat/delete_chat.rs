//! `DELETE /v1/ui/chat/{id}`: as of a session. The id can't be used again.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use http::StatusCode;

use super::chat_id::ChatId;
use crate::{call::Call, delete_session::delete, extract::Query, problem::Problem, state::ApiState};

#[utoipa::path(
    delete,
    path = "/v1/ui/chat/{chat_id}",
    operation_id = "deleteChat",
    tag = "ai-sdk",
    summary = "Delete a chat",
    params(
        ("chat_id" = String, Path, description = "The client's name for the chat."),
    ),
    responses(
        (status = 204, description = "It is deleted."),
    ),
    extensions(("x-problems" = json!(crate::openapi::problems(&[crate::problem::Code::SessionNotFound, crate::problem::Code::StorageFull])))),
)]
pub(super) async fn delete_chat(
    State(state): State<Arc<ApiState>>,
    call: Call,
    chat: ChatId,
    RawQuery(query): RawQuery,
) -> Result<StatusCode, Problem> {
    Query::none(query.as_deref())?;
    let session = chat.session(&state, &call.caller);
    delete(&state, &call, session).await?;
    Ok(StatusCode::NO_CONTENT)
}
