//! What the AI SDK's `useChat` calls: the UI message stream, version 1. Everything rides the same way as a native message.
//!
//! A chat is a session whose id follows from the user and the client's own name for the chat, and a message's task follows
//! from the chat and the message's id: every instance finds both without a look-up, and the same POST is the same task.

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};

use crate::state::ApiState;

mod ask_again;
mod chat_id;
mod chunks;
mod delete_chat;
mod echo;
mod get_chat;
mod history;
mod join_stream;
mod open_tasks;
pub(crate) mod plain_errors;
mod post_chat;
mod read_chat;
mod read_said;
mod reply;
mod stop_chat;
mod view;

/// `/v1/ui/chat`.
pub(crate) fn routes() -> Router<Arc<ApiState>> {
    Router::new()
        .route("/v1/ui/chat", post(post_chat::post_chat))
        .route("/v1/ui/chat/{chat_id}", get(get_chat::get_chat).delete(delete_chat::delete_chat))
        .route("/v1/ui/chat/{chat_id}/messages", get(get_chat::list_chat_messages))
        .route("/v1/ui/chat/{chat_id}/stream", get(join_stream::join_stream))
        .route("/v1/ui/chat/{chat_id}/stop", post(stop_chat::stop_chat))
}

/// What is said of them in the description.
#[derive(utoipa::OpenApi)]
#[openapi(paths(
    post_chat::post_chat,
    get_chat::get_chat,
    get_chat::list_chat_messages,
    join_stream::join_stream,
    stop_chat::stop_chat,
    delete_chat::delete_chat
))]
struct Described;

/// What is said of all of them in the description.
pub(crate) fn described() -> utoipa::openapi::OpenApi {
    use utoipa::OpenApi as _;
    Described::openapi()
}
