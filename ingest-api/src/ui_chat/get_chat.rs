//! `GET /v1/ui/chat/{id}`: what was said in the chat and whether a reply is under way; `…/messages`: its messages alone, for
//! `useChat`'s `messages`. A chat that nobody wrote to is empty.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, State},
};
use parlance_shared::{Caller, SessionId, port::store::Lookup};
use serde::Serialize;

use super::{
    chat_id::ChatId,
    history::{UiMessage, history},
    open_tasks::open_tasks,
};
use crate::{bounded::bounded, call::Call, extract::Query, problem::Problem, state::ApiState};

/// A chat.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Chat {
    /// The same conversation in the native API.
    session_id: SessionId,
    /// A reply is under way: resume the stream.
    running: bool,
    messages: Vec<UiMessage>,
}

#[utoipa::path(
    get,
    path = "/v1/ui/chat/{chat_id}",
    operation_id = "getChat",
    tag = "ai-sdk",
    summary = "A chat and its messages",
    params(
        ("chat_id" = String, Path, description = "The client's name for the chat."),
    ),
    responses(
        (status = 200, description = "The chat; empty when nobody wrote to it.", body = ref("#/components/schemas/UiChat"), content_type = "application/json"),
    ),
    extensions(("x-problems" = json!(crate::openapi::problems(&[crate::problem::Code::SessionNotFound])))),
)]
pub(super) async fn get_chat(
    State(state): State<Arc<ApiState>>,
    call: Call,
    chat: ChatId,
    RawQuery(query): RawQuery,
) -> Result<Json<Chat>, Problem> {
    Query::none(query.as_deref())?;
    let session_id = chat.session(&state, &call.caller);
    // First what runs: a reply that ends meanwhile is then in the messages.
    let running = !open_tasks(&state, &call.caller, session_id, &chat, None).await?.is_empty();
    let messages = history(&state, &call.caller, session_id).await?;
    Ok(Json(Chat { session_id, running, messages }))
}

#[utoipa::path(
    get,
    path = "/v1/ui/chat/{chat_id}/messages",
    operation_id = "listChatMessages",
    tag = "ai-sdk",
    summary = "The messages of a chat",
    params(
        ("chat_id" = String, Path, description = "The client's name for the chat."),
    ),
    responses(
        (status = 200, description = "All of them, oldest first.", body = ref("#/components/schemas/UiMessages"), content_type = "application/json"),
    ),
    extensions(("x-problems" = json!(crate::openapi::problems(&[crate::problem::Code::SessionNotFound])))),
)]
pub(super) async fn list_chat_messages(
    State(state): State<Arc<ApiState>>,
    call: Call,
    chat: ChatId,
    RawQuery(query): RawQuery,
) -> Result<Json<Vec<UiMessage>>, Problem> {
    Query::none(query.as_deref())?;
    let session = chat.session(&state, &call.caller);
    refuse_deleted(&state, &call.caller, session).await?;
    Ok(Json(history(&state, &call.caller, session).await?))
}

async fn refuse_deleted(state: &ApiState, caller: &Caller, session: SessionId) -> Result<(), Problem> {
    let looking = state.store.session(&caller.user, session);
    match bounded(state.limits.read_timeout, "store", looking).await? {
        Lookup::Deleted => Err(Problem::session_not_found()),
        Lookup::Found(_) | Lookup::Unknown => Ok(()),
    }
}
