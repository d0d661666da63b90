//! `GET /v1/responses/{id}`: the response as it stands, or with `?stream=true` its events, from behind `starting_after` on.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, State},
    response::{IntoResponse as _, Response},
};
use parlance_shared::{Caller, task::Task};

use super::{
    find_response::{as_response, find_response},
    ids::ResponseId,
    known::Known,
    object::Stand,
    sequence::{LARGEST, cursor},
    stream_view::ResponsesView,
};
use crate::{
    call::Call,
    find_task::{follow_problem, note_session},
    follow_reply::follow_reply,
    problem::{Code, Problem},
    reply_stream::ReplyStream,
    state::ApiState,
};

const STARTING_AFTER: &str = "starting_after";

#[utoipa::path(
    get,
    path = "/v1/responses/{response_id}",
    operation_id = "getResponse",
    tag = "openai",
    summary = "A response as it stands, or its stream",
    params(
        ("response_id" = String, Path, description = "The id of a response."),
        ("stream" = Option<bool>, Query, description = "The events, as they come or came."),
        ("starting_after" = Option<u32>, Query, description = "Only events behind the one with this sequence number."),
    ),
    responses(
        (status = 200, description = "The response, or with `stream` its events.", content(
            (ref("#/components/schemas/OpenAiResponse") = "application/json"),
            (ref("#/components/schemas/ProtocolEvent") = "text/event-stream"),
        )),
    ),
    extensions(("x-problems" = json!(crate::openapi::problems(&[Code::ResponseNotFound, Code::TooManyStreams])))),
)]
pub(crate) async fn get_response(
    State(state): State<Arc<ApiState>>,
    call: Call,
    ResponseId(id): ResponseId,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let (streamed, seen) = asked(query.as_deref())?;
    let found = find_response(&state, &call.caller, id).await?;
    let (task, known) = found.known(&state);
    note_session(&task);
    if streamed {
        return stream(&state, &call.caller, task, known, seen).await;
    }
    Ok(Json(known.object(Stand::of(&task), Some(&task))).into_response())
}

/// The events behind `seen`.
pub(super) async fn stream(
    state: &ApiState,
    caller: &Caller,
    task: Task,
    known: Known,
    seen: Option<u64>,
) -> Result<Response, Problem> {
    let at = seen.and_then(|seen| cursor(seen, &task));
    let reader = follow_reply(state, caller, task, at, STARTING_AFTER).await.map_err(as_response)?;
    let view = Box::new(ResponsesView::new(known, seen));
    let stream = ReplyStream::start(state, reader, view, at).map_err(|error| follow_problem(error, STARTING_AFTER))?;
    Ok(stream.into_response())
}

/// What is asked in the query; what is not known there is ignored, as clients send what newer servers know.
fn asked(query: Option<&str>) -> Result<(bool, Option<u64>), Problem> {
    let (mut streamed, mut seen) = (false, None);
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match &*name {
            "stream" => streamed = read_flag(&value)?,
            STARTING_AFTER => seen = Some(read_number(&value)?),
            _ => {}
        }
    }
    Ok((streamed, seen))
}

fn read_flag(value: &str) -> Result<bool, Problem> {
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Problem::with_field("stream", Code::InvalidParameter, "must be true or false.", &["true", "false"])),
    }
}

fn read_number(value: &str) -> Result<u64, Problem> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| value.parse().ok()).flatten().filter(|number| *number <= LARGEST).ok_or_else(|| {
        let accepted = ["the sequence_number of an event of this stream"];
        Problem::with_field(STARTING_AFTER, Code::InvalidParameter, "must be a whole number.", &accepted)
    })
}
