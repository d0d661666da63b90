//! `GET /v1/ui/chat/{id}/stream`: the reply that is under way, whole, from its start; 204 when there is none.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use parlance_shared::{Caller, SessionId, port::store::TurnOf, task::Task};

use super::{
    chat_id::ChatId,
    echo::Echo,
    history::history,
    open_tasks::{latest, message_in, open_tasks},
    reply::{Reply, reply_id},
};
use crate::{call::Call, problem::Problem, replaced::recorded, state::ApiState};

#[utoipa::path(
    get,
    path = "/v1/ui/chat/{chat_id}/stream",
    operation_id = "joinChatStream",
    tag = "ai-sdk",
    summary = "The reply that is under way, from its start",
    params(
        ("chat_id" = String, Path, description = "The client's name for the chat."),
        ("message" = Option<String>, Query, description = "The client's name for the message that is meant."),
    ),
    responses(
        (status = 200, description = "The UI message stream, version 1.", body = ref("#/components/schemas/ProtocolEvent"), content_type = "text/event-stream"),
        (status = 204, description = "No reply is under way."),
    ),
    extensions(("x-problems" = json!(crate::openapi::problems(&[crate::problem::Code::SessionNotFound, crate::problem::Code::TooManyStreams])))),
)]
pub(super) async fn join_stream(
    State(state): State<Arc<ApiState>>,
    call: Call,
    chat: ChatId,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let message = message_in(query.as_deref())?;
    let session = chat.session(&state, &call.caller);
    let open = open_tasks(&state, &call.caller, session, &chat, message.as_deref()).await?;
    let Some(task) = latest(&state, &call.caller, &open).await? else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    reply(&state, &call.caller, session, &task).await?.follow(&state, &call.caller).await
}

/// As the client's message, which the request says; it is recorded a moment after it was accepted.
async fn reply(state: &ApiState, caller: &Caller, session: SessionId, task: &Task) -> Result<Reply, Problem> {
    let Some(turn) = recorded(state, caller, session, TurnOf::Task(task.id)).await? else {
        // The record is late. Only of a reply that goes on is this another message to the client.
        let id = task.reply.message_id.unwrap_or_else(|| reply_id(state, caller, task.id));
        return Ok(Reply { task: task.id, message: id.to_string(), before: Vec::new() });
    };
    let mut reply = Reply::of(&turn.message);
    if let Some(Echo::Continues(_)) = Echo::of(&turn.message.input) {
        let mut history = history(state, caller, session).await?;
        let message = history.iter_mut().rfind(|message| message.id == reply.message);
        reply.before = message.map(|message| std::mem::take(&mut message.parts)).unwrap_or_default();
    }
    Ok(reply)
}
