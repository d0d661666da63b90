//! `POST /v1/ui/chat/{id}/stop`: what waits or runs in the chat is cancelled; what was said by then is kept. `useChat`'s own
//! `stop()` only hangs up.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, State},
};
use futures_util::future::try_join_all;
use parlance_shared::task::Task;
use serde::Serialize;

use super::{
    chat_id::ChatId,
    open_tasks::{message_in, open_tasks},
};
use crate::{call::Call, cancel_task::cancel, problem::Problem, state::ApiState};

/// What was stopped.
#[derive(Debug, Serialize)]
pub(super) struct Stopped {
    /// Each as it stands now; none when nothing ran.
    stopped: Vec<Task>,
}

#[utoipa::path(
    post,
    path = "/v1/ui/chat/{chat_id}/stop",
    operation_id = "stopChat",
    tag = "ai-sdk",
    summary = "Stop what waits or runs in a chat",
    params(
        ("chat_id" = String, Path, description = "The client's name for the chat."),
        ("message" = Option<String>, Query, description = "The client's name for the message that is meant."),
    ),
    responses(
        (status = 200, description = "What was stopped.", body = ref("#/components/schemas/UiStopped"), content_type = "application/json"),
    ),
    extensions(("x-problems" = json!(crate::openapi::problems(&[crate::problem::Code::SessionNotFound])))),
)]
pub(super) async fn stop_chat(
    State(state): State<Arc<ApiState>>,
    call: Call,
    chat: ChatId,
    RawQuery(query): RawQuery,
) -> Result<Json<Stopped>, Problem> {
    let message = message_in(query.as_deref())?;
    let session = chat.session(&state, &call.caller);
    let open = open_tasks(&state, &call.caller, session, &chat, message.as_deref()).await?;
    let stopped = try_join_all(open.into_iter().map(|task| cancel(&state, &call.caller, task))).await?;
    Ok(Json(Stopped { stopped }))
}
