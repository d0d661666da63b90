//! `GET /v1/chat/completions/{id}`: a reply that was asked for before, whoever was there to read it.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use tracing::Span;

use super::{
    answer::with_links,
    completion::task_of,
    create::{ended, under_way},
};
use crate::{
    call::Call,
    extract::PathText,
    find_task::{find_task, note_session},
    openai::error::{SHOULD_RETRY, yes_or_no},
    problem::Problem,
    state::ApiState,
};

#[utoipa::path(
    get,
    path = "/v1/chat/completions/{id}",
    operation_id = "getChatCompletion",
    tag = "openai",
    summary = "A reply that was asked for before",
    params(
        ("id" = String, Path, description = "The id of a completion."),
    ),
    responses(
        (status = 200, description = "The reply.", body = ref("#/components/schemas/ChatCompletion"), content_type = "application/json"),
        (status = 409, description = "It has not ended, or was cancelled.", body = ref("#/components/schemas/OpenAiError"), content_type = "application/json"),
        (status = 502, description = "The model failed.", body = ref("#/components/schemas/OpenAiError"), content_type = "application/json"),
        (status = 504, description = "The model did not answer in time.", body = ref("#/components/schemas/OpenAiError"), content_type = "application/json"),
    ),
    extensions(("x-problems" = json!(crate::openapi::problems(&[crate::problem::Code::TaskNotFound])))),
)]
pub(crate) async fn retrieve_chat_completion(
    State(state): State<Arc<ApiState>>,
    call: Call,
    PathText(id): PathText,
) -> Result<Response, Problem> {
    let id = task_of(&id).ok_or_else(Problem::task_not_found)?;
    Span::current().record("task_id", tracing::field::display(id));
    let task = find_task(&state, &call.caller, id).await?;
    note_session(&task);
    let session = task.session_id;
    let response = if task.status.is_terminal() {
        ended(task, false)
    } else {
        let mut response = under_way().into_response();
        response.headers_mut().insert(SHOULD_RETRY, yes_or_no(true));
        response
    };
    Ok(with_links(response, id, session))
}
