//! The API's description, made from the code: each handler says beside itself what it takes and gives (`utoipa::path`), each
//! type what it looks like (`ToSchema`). [`ApiDoc`] lists them; `finish` adds what is the same everywhere.
//!
//! A handler of the native API says with [`problems`] which codes it can answer with beyond those that follow from its
//! description; their statuses, headers and examples come from the one list of codes.

mod bounds;
mod close;
mod examples;
mod finish;
mod links;
mod page;
mod parameters;
mod problems;
mod protocols;
mod webhooks;

use std::sync::LazyLock;

use bytes::Bytes;
use parlance_shared::{
    content::{ContentPart, ToolResult},
    log_view::{DeltaData, ResetData, StatusData, ToolCallData},
};
use serde_json::Value;
use utoipa::OpenApi;

pub(crate) use self::{
    examples::event as example_event,
    parameters::{FirstMessage, IdempotencyKey},
    problems::problems,
};

#[derive(OpenApi)]
#[openapi(
    info(title = "Parlance", version = "1", description = include_str!("openapi/about.md"), license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")),
    servers((url = "/")),
    tags(
        (name = "messages", description = "What was said, and saying more."),
        (name = "tasks", description = "One turn each: a message, the attempts to answer it, and how it ended."),
        (name = "sessions", description = "Conversations."),
        (name = "openai", description = "For OpenAI's clients, whose own documents say more. Errors are as these clients know them."),
        (name = "ai-sdk", description = "For the AI SDK's `useChat`. Errors are sentences; their code is in `x-problem-code`."),
        (name = "webhooks", description = "What is sent to you."),
        (name = "service", description = "The process itself."),
    ),
    paths(
        crate::post_message::post_message_to_new_session,
        crate::post_message::post_message,
        crate::list_messages::list_messages,
        crate::get_task::get_task,
        crate::stream_reply::stream_reply,
        crate::cancel_task::cancel_task,
        crate::retry_task::retry_task,
        crate::get_usage::get_usage,
        crate::list_sessions::list_sessions,
        crate::create_session::create_session,
        crate::get_session::get_session,
        crate::patch_session::patch_session,
        crate::delete_session::delete_session,
        crate::get_summary::get_summary,
        crate::get_index::get_index,
        crate::get_health::get_health,
        crate::get_ready::get_ready,
        crate::get_metrics::get_metrics,
        crate::get_openapi::get_openapi,
        crate::get_docs::get_docs,
    ),
    components(schemas(ContentPart, ToolResult, StatusData, DeltaData, ToolCallData, ResetData)),
)]
struct ApiDoc;

/// The document, for whoever holds answers against it.
pub fn description() -> &'static Value {
    &DOCUMENT
}

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let mut all = ApiDoc::openapi();
    all.merge(crate::openai::described());
    all.merge(crate::ui_chat::described());
    finish::finish(&all)
});

/// The document as it is served.
pub(crate) static BYTES: LazyLock<Bytes> = LazyLock::new(|| serde_json::to_vec(&*DOCUMENT).unwrap_or_default().into());

/// The document as a page.
pub(crate) static DOCS: LazyLock<Bytes> = LazyLock::new(|| page::page(&DOCUMENT).into());
