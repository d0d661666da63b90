//! `POST /v1/responses`: accepted like any message; then the stream, the response at its end, or at once in the background.

use std::{sync::Arc, time::Instant};

use axum::{
    Json,
    extract::{RawQuery, State},
    response::{IntoResponse as _, Response},
};
use http::HeaderMap;
use parlance_shared::{
    SessionId,
    content::TurnInput,
    event::{MessageSubmitted, Strategy},
    task::Task,
};
use serde_json::Value;
use tracing::Span;

use super::{
    find_response::find_response,
    get_response::stream,
    known::Known,
    object::Stand,
    previous::{Place, place_after},
    read_create::{Asked, CreateResponse, Origin},
};
use crate::{
    await_end::await_whole,
    call::Call,
    extract::JsonBody,
    idempotency::{self, Earlier},
    openai::error::{SHOULD_RETRY, yes_or_no},
    problem::{Code, Problem},
    state::ApiState,
    submit::{Submission, TurnIds, submit},
};

#[utoipa::path(
    post,
    path = "/v1/responses",
    operation_id = "createResponse",
    tag = "openai",
    summary = "A response",
    description = "For OpenAI's clients. With `background`, the answer comes at once, and the response is retrieved or streamed later.",
    params(
        crate::openapi::IdempotencyKey,
    ),
    request_body(content = ref("#/components/schemas/ResponseRequest"), content_type = "application/json"),
    responses(
        (status = 200, description = "The response, whole or with `stream` as it comes.", content(
            (ref("#/components/schemas/OpenAiResponse") = "application/json"),
            (ref("#/components/schemas/ProtocolEvent") = "text/event-stream"),
        )),
        (status = 502, description = "The model failed.", body = ref("#/components/schemas/OpenAiError"), content_type = "application/json"),
        (status = 504, description = "The model did not answer in time.", body = ref("#/components/schemas/OpenAiError"), content_type = "application/json"),
    ),
    extensions(("x-problems" = json!(crate::openapi::problems(&[Code::SessionNotFound, Code::SessionDeleted, Code::SessionBusy, Code::TooManyTasks, Code::TooManyQueued, Code::ContentTooLarge, Code::BudgetExhausted, Code::ModelNotFound, Code::StorageFull, Code::TooManyStreams, Code::PreviousResponseNotFound])))),
)]
pub(crate) async fn create_response(
    State(state): State<Arc<ApiState>>,
    call: Call,
    RawQuery(_): RawQuery,
    headers: HeaderMap,
    JsonBody(body): JsonBody<CreateResponse>,
) -> Result<Response, Problem> {
    let began = Instant::now();
    let asked = body.read(&state)?;
    let key = idempotency::key_of(&headers)?;
    let fingerprint = key.map(|_| idempotency::body_fingerprint("responses", &Value::Object(body.0)));
    let (streamed, background) = (asked.stream, asked.echo.background);
    let known = accept(&state, &call, asked, key, fingerprint, began).await?;
    if background && !streamed {
        return Ok(Json(known.object(Stand::Queued, None)).into_response());
    }
    // From here on the reply comes about whatever is answered. Asking again is another one, unless a key says it is not.
    let task = Task { session_id: known.session, ..Task::queued(known.task) };
    let answered = if streamed {
        stream(&state, &call.caller, task, known, None).await
    } else {
        // What is not at its end is fetched by its client.
        await_whole(&state, &call.caller, task)
            .await
            .map(|task| Json(known.object(Stand::of(&task), Some(&task))).into_response())
    };
    Ok(answered.unwrap_or_else(|problem| {
        let mut response = problem.into_response();
        response.headers_mut().insert(SHOULD_RETRY, yes_or_no(key.is_some()));
        response
    }))
}

/// Accepts the request, unless it was accepted before under the same idempotency key.
async fn accept(
    state: &ApiState,
    call: &Call,
    asked: Asked,
    key: Option<&str>,
    fingerprint: Option<String>,
    began: Instant,
) -> Result<Known, Problem> {
    let ids = TurnIds::new(state, &call.caller, key);
    if let Some(fingerprint) = &fingerprint {
        // What a repeat goes on from may have gone on itself: by the first request.
        let earlier = idempotency::find_earlier(state, &call.caller, ids.task_id, fingerprint).await?;
        if earlier == Earlier::Same {
            return Ok(find_response(state, &call.caller, ids.task_id).await?.known(state).1);
        }
    }
    let submission = submission(state, call, asked, ids, key, fingerprint).await?;
    let session = submission.submitted.session_id;
    Span::current().record("session_id", tracing::field::display(session));
    let submitted = submit(state, call, submission, began).await.map_err(at_origin)?;
    Ok(Known::of(state, submitted))
}

async fn submission(
    state: &ApiState,
    call: &Call,
    asked: Asked,
    ids: TurnIds,
    key: Option<&str>,
    fingerprint: Option<String>,
) -> Result<Submission, Problem> {
    let user = &call.caller.user;
    let Asked { content, model, metadata, mut input, mut echo, origin, .. } = asked;
    let earlier: Option<SessionId> = match origin {
        Origin::New => None,
        Origin::Session(session) if state.mint.made_for(user, session) => Some(session),
        Origin::Session(_) => {
            let detail = "names no session of yours.";
            return Err(Problem::with_field("conversation", Code::SessionNotFound, detail, &[]));
        }
        Origin::Response(previous) => match place_after(state, &call.caller, previous).await? {
            Place::Next(session) => Some(session),
            Place::Fork(said) => {
                echo.forked = said.len();
                let told = std::mem::replace(&mut input.history, said);
                input.history.extend(told);
                input.history_follows = false;
                None
            }
        },
    };
    let session_is_new = earlier.is_none();
    let session_id =
        earlier.unwrap_or_else(|| key.map_or_else(|| state.mint.mint(user), |key| state.mint.derive(user, key)));
    echo.began = session_is_new;
    let submitted = MessageSubmitted {
        task_id: ids.task_id,
        session_id,
        message_id: ids.message_id,
        reply_message_id: ids.reply_message_id,
        user_id: user.clone(),
        content,
        model,
        strategy: Strategy::default(),
        metadata,
        accepted_at: state.clock.now_precise(),
        fingerprint,
        input: TurnInput { echo: echo.to_value(), ..input },
        looked_at: None,
    };
    Ok(Submission { submitted, session_is_new, strategy: None, stands_for: None })
}

/// A session that is gone was named by the conversation.
fn at_origin(problem: Problem) -> Problem {
    match problem.code() {
        Code::SessionNotFound => {
            let detail = "names no session of yours, or one that was deleted.";
            Problem::with_field("conversation", Code::SessionNotFound, detail, &[])
        }
        _ => problem,
    }
}
