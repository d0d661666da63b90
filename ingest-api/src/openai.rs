//! What OpenAI's clients call. Everything rides the same way as a native message: bus, log and record.

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};

use crate::state::ApiState;

mod chat;
pub(crate) mod error;
mod models;
pub(crate) mod parameters;
mod responses;

/// `/v1/models`, `/v1/chat/completions`, `/v1/responses`.
pub(crate) fn routes() -> Router<Arc<ApiState>> {
    Router::new()
        .route("/v1/models", get(models::list_models))
        .route("/v1/models/{*id}", get(models::get_model))
        .route("/v1/chat/completions", post(chat::create::create_chat_completion))
        .route("/v1/chat/completions/{id}", get(chat::retrieve::retrieve_chat_completion))
        .merge(responses::routes())
}

/// What is said of them in the description.
#[derive(utoipa::OpenApi)]
#[openapi(paths(
    models::list_models,
    models::get_model,
    chat::create::create_chat_completion,
    chat::retrieve::retrieve_chat_completion
))]
struct Described;

/// What is said of all of them in the description.
pub(crate) fn described() -> utoipa::openapi::OpenApi {
    use utoipa::OpenApi as _;
    Described::openapi().merge_from(responses::described())
}
