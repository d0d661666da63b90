//! `/v1/responses`: OpenAI's Responses API as a view of turns.
//!
//! A response is a task: its id proves the owner, its events are the log's, and what it says again of its request is read from
//! the record. So everything that holds for tasks holds here: a client that vanishes loses nothing, and a stream goes on from any
//! number, on any instance, after restarts.

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};

use crate::state::ApiState;

mod allowed_tools;
mod cancel_response;
mod create_response;
mod delete_response;
mod echo;
mod find_response;
mod get_response;
mod ids;
mod items;
mod known;
mod list_input_items;
mod object;
mod previous;
mod read_create;
mod said_so_far;
mod sequence;
mod stream_view;
mod tools;

use self::{
    cancel_response::cancel_response, create_response::create_response, delete_response::delete_response,
    get_response::get_response, list_input_items::list_input_items,
};

/// `/v1/responses` and all below it.
pub(super) fn routes() -> Router<Arc<ApiState>> {
    Router::new()
        .route("/v1/responses", post(create_response))
        .route("/v1/responses/{response_id}", get(get_response).delete(delete_response))
        .route("/v1/responses/{response_id}/cancel", post(cancel_response))
        .route("/v1/responses/{response_id}/input_items", get(list_input_items))
}

/// What is said of them in the description.
#[derive(utoipa::OpenApi)]
#[openapi(paths(
    create_response::create_response,
    get_response::get_response,
    delete_response::delete_response,
    cancel_response::cancel_response,
    list_input_items::list_input_items
))]
struct Described;

/// What is said of all of them in the description.
pub(super) fn described() -> utoipa::openapi::OpenApi {
    use utoipa::OpenApi as _;
    Described::openapi()
}
