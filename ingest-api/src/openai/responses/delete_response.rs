//! `DELETE /v1/responses/{id}`: it can't be fetched any more. A conversation that it began and that has no other turn is deleted
//! whole, as `DELETE /v1/sessions/{id}` does; another one keeps what was said. The same call again is the same answer.

use std::sync::Arc;

use axum::{Json, extract::State};
use parlance_shared::{Caller, SessionId, TaskId, page::PageRequest};
use serde_json::{Value, json};

use super::{
    find_response::{find_response, is_hidden},
    ids::{ResponseId, not_found, response_id},
};
use crate::{
    admit::look_limit,
    bounded::bounded,
    call::Call,
    delete_session::delete,
    find_task::note_session,
    problem::{Code, Problem},
    state::ApiState,
};

#[utoipa::path(
    delete,
    path = "/v1/responses/{response_id}",
    operation_id = "deleteResponse",
    tag = "openai",
    summary = "Hide a response",
    params(
        ("response_id" = String, Path, description = "The id of a response."),
    ),
    responses(
        (status = 200, description = "It is hidden.", body = ref("#/components/schemas/ResponseDeleted"), content_type = "application/json"),
    ),
    extensions(("x-problems" = json!(crate::openapi::problems(&[Code::ResponseNotFound])))),
)]
pub(crate) async fn delete_response(
    State(state): State<Arc<ApiState>>,
    call: Call,
    ResponseId(id): ResponseId,
) -> Result<Json<Value>, Problem> {
    if !state.mint.made_for(&call.caller.user, id) {
        return Err(not_found());
    }
    match find_response(&state, &call.caller, id).await {
        Ok(found) => {
            let (task, known) = found.known(&state);
            note_session(&task);
            // First: should this be all that is done, the response is gone as well.
            if let Some(session) = known.session.filter(|_| known.echo.began)
                && is_alone(&state, &call.caller, session, id).await?
            {
                delete(&state, &call, session).await?;
            }
            let hiding = state.store.hide_response(&call.caller.user, id, state.clock.now());
            bounded(state.limits.publish_timeout, "store", hiding).await?;
        }
        // Deleted before, by this call or with its session.
        Err(problem) if problem.code() == Code::ResponseNotFound => {
            if !is_hidden(&state, &call.caller, id).await? {
                return Err(problem);
            }
        }
        Err(problem) => return Err(problem),
    }
    Ok(Json(json!({"id": response_id(id), "object": "response", "deleted": true})))
}

/// Nothing else was said in the conversation, or is about to be.
async fn is_alone(state: &ApiState, caller: &Caller, session: SessionId, id: TaskId) -> Result<bool, Problem> {
    let limit = state.limits.read_timeout;
    let recent = state.recent.tasks(session);
    let page = PageRequest { limit: 3, from: None };
    let (messages, known) = tokio::join!(
        bounded(limit, "store", state.store.messages_of_all_branches(&caller.user, session, &page)),
        bounded(
            limit,
            "store",
            state.store.admission(&caller.user, session, &recent, look_limit(state.limits.queued_per_session))
        ),
    );
    let said_alone = messages?.data.iter().all(|message| message.task_id == id);
    Ok(said_alone && known?.waiting.iter().chain(&recent).all(|task| *task == id))
}
