//! `POST /v1/responses/{id}/cancel`: records the wish to stop; what was said is kept. Of any response, not only of one in the
//! background, and as often as wanted.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde_json::Value;

use super::{
    find_response::{as_response, find_response},
    ids::ResponseId,
    object::Stand,
};
use crate::{call::Call, cancel_task::cancel, find_task::note_session, problem::Problem, state::ApiState};

#[utoipa::path(
    post,
    path = "/v1/responses/{response_id}/cancel",
    operation_id = "cancelResponse",
    tag = "openai",
    summary = "Stop a response",
    params(
        ("response_id" = String, Path, description = "The id of a response."),
    ),
    responses(
        (status = 200, description = "The response.", body = ref("#/components/schemas/OpenAiResponse"), content_type = "application/json"),
    ),
    extensions(("x-problems" = json!(crate::openapi::problems(&[crate::problem::Code::ResponseNotFound])))),
)]
pub(crate) async fn cancel_response(
    State(state): State<Arc<ApiState>>,
    call: Call,
    ResponseId(id): ResponseId,
) -> Result<Json<Value>, Problem> {
    // First of all: the record is not waited for.
    let task = cancel(&state, &call.caller, id).await.map_err(as_response)?;
    note_session(&task);
    let known = find_response(&state, &call.caller, id).await?.known(&state).1;
    Ok(Json(known.object(Stand::of(&task), Some(&task))))
}
