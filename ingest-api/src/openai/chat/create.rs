//! `POST /v1/chat/completions`.

use std::{sync::Arc, time::Instant};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, StatusCode};
use parlance_shared::{
    Caller,
    event::MessageSubmitted,
    task::{Status, Task},
};

use super::{
    answer::with_links,
    completion::{Completion, UNNAMED, created},
    request::{Chat, ChatRequest},
    view::ChatView,
};
use crate::{
    accept::accept,
    await_end::await_whole,
    call::Call,
    extract::JsonBody,
    find_task::follow_problem,
    follow_reply::follow_reply,
    idempotency,
    openai::error::{OpenAiError, SHOULD_RETRY, yes_or_no},
    problem::{Code, Problem},
    reply_stream::ReplyStream,
    state::ApiState,
};

const SESSION_HEADER: &str = "X-Session-Id";

#[utoipa::path(
    post,
    path = "/v1/chat/completions",
    operation_id = "createChatCompletion",
    tag = "openai",
    summary = "A reply to a conversation",
    description = "For OpenAI's clients. The reply is a task like any other: a client that goes away loses nothing.",
    params(
        crate::openapi::IdempotencyKey,
    ),
    request_body(content = ref("#/components/schemas/ChatCompletionRequest"), content_type = "application/json"),
    responses(
        (status = 200, description = "The reply, whole or with `stream` as it comes.", content(
            (ref("#/components/schemas/ChatCompletion") = "application/json"),
            (ref("#/components/schemas/ProtocolEvent") = "text/event-stream"),
        )),
        (status = 502, description = "The model failed.", body = ref("#/components/schemas/OpenAiError"), content_type = "application/json"),
        (status = 504, description = "The model did not answer in time.", body = ref("#/components/schemas/OpenAiError"), content_type = "application/json"),
    ),
    extensions(("x-problems" = json!(crate::openapi::problems(&[Code::SessionNotFound, Code::SessionDeleted, Code::SessionBusy, Code::TooManyTasks, Code::TooManyQueued, Code::ContentTooLarge, Code::BudgetExhausted, Code::ModelNotFound, Code::StorageFull, Code::TooManyStreams])))),
)]
pub(crate) async fn create_chat_completion(
    State(state): State<Arc<ApiState>>,
    call: Call,
    headers: HeaderMap,
    JsonBody(request): JsonBody<ChatRequest>,
) -> Result<Response, Problem> {
    let began = Instant::now();
    let session = headers.get(SESSION_HEADER).map(|value| value.to_str().unwrap_or_default());
    let Chat { asked, session, stream, include_usage } = request.read(&state, session)?;
    if session.is_some_and(|session| !state.mint.made_for(&call.caller.user, session)) {
        return Err(Problem::session_not_found());
    }
    let submitted = accept(&state, &call, session, &headers, asked, began).await?;
    // From here on the reply comes about whatever is answered. Asking again is another reply, unless a key says it is not.
    let answered = match stream {
        true => stream_chunks(&state, &call.caller, &submitted, include_usage).await,
        false => whole(&state, &call.caller, &submitted).await,
    };
    let mut response = answered.unwrap_or_else(|problem| problem.into_response());
    if !response.status().is_success() && !response.headers().contains_key(SHOULD_RETRY) {
        let has_key = idempotency::key_of(&headers)?.is_some();
        response.headers_mut().insert(SHOULD_RETRY, yes_or_no(has_key));
    }
    Ok(with_links(response, submitted.task_id, Some(submitted.session_id)))
}

async fn stream_chunks(
    state: &ApiState,
    caller: &Caller,
    submitted: &MessageSubmitted,
    include_usage: bool,
) -> Result<Response, Problem> {
    const PLACE: &str = "id";
    let task = submitted.task_id;
    let reader = follow_reply(state, caller, Task::queued(task), None, PLACE).await?;
    let default = state.about.provider.as_ref().map_or(UNNAMED, |provider| &provider.model);
    let model = submitted.model.as_deref().unwrap_or(default);
    let view = ChatView::new(task, created(task, Some(submitted.accepted_at)), model, include_usage);
    let stream =
        ReplyStream::start(state, reader, Box::new(view), None).map_err(|error| follow_problem(error, PLACE))?;
    Ok(stream.into_response())
}

async fn whole(state: &ApiState, caller: &Caller, submitted: &MessageSubmitted) -> Result<Response, Problem> {
    let task = await_whole(state, caller, Task::queued(submitted.task_id)).await?;
    if task.status.is_terminal() {
        // A key leads to this very task: what failed stays failed.
        return Ok(ended(task, submitted.fingerprint.is_none()));
    }
    if state.lifecycle.stopping().is_cancelled() {
        return Ok(not_ended(submitted, StatusCode::SERVICE_UNAVAILABLE, "stopping", "This process stops."));
    }
    let why = "The reply took longer than a call may take.";
    Ok(not_ended(submitted, StatusCode::GATEWAY_TIMEOUT, "reply_timeout", why))
}

/// The answer of a task that has ended.
pub(super) fn ended(task: Task, may_retry: bool) -> Response {
    match task.status {
        Status::Completed => Json(Completion::of(task)).into_response(),
        _ => {
            let mut error = OpenAiError::of_task(&task);
            error.should_retry &= may_retry;
            error.into_response()
        }
    }
}

/// The same request under its key finds the same reply.
fn not_ended(submitted: &MessageSubmitted, status: StatusCode, code: &'static str, why: &str) -> Response {
    let mut error = OpenAiError::goes_on(submitted.task_id, status, code, why);
    error.should_retry = submitted.fingerprint.is_some();
    error.into_response()
}

/// The answer while the reply is under way.
pub(super) fn under_way() -> Problem {
    Problem::new(Code::TaskNotEnded, "The reply is not complete. Ask again in a moment, or read it as it comes.")
        .retry_after(1)
}
