//! `GET /v1/tasks/{id}/stream`: the task's log as server-sent events, from wherever the client has come to.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, StatusCode};
use parlance_shared::{
    TaskId,
    cursor::{Cursor, Place},
};

use crate::{
    call::Call,
    extract::{PathId, Query},
    find_task::{find_task, follow_problem, note_session, unknown_cursor},
    follow_reply::follow_reply,
    openapi::{example_event, problems},
    problem::{Code, Problem},
    reply_stream::ReplyStream,
    reply_view::NativeView,
    state::ApiState,
};

const LAST_EVENT_ID: &str = "Last-Event-ID";

/// What the client has seen, and where it said so.
#[derive(Clone, Copy)]
struct Seen {
    cursor: Option<Cursor>,
    place: &'static str,
}

#[utoipa::path(
    get,
    path = "/v1/tasks/{task_id}/stream",
    operation_id = "streamReply",
    tag = "tasks",
    summary = "The reply as it comes",
    description = include_str!("openapi/stream_reply.md"),
    params(
        ("task_id" = TaskId, Path),
        ("Last-Event-ID" = Option<String>, Header, pattern = "^[0-9]+-([0-9]+|r|end)$",
            description = "The id of the last event that was seen; wins over `after`."),
        ("after" = Option<String>, Query, pattern = "^[0-9]+-([0-9]+|r|end)$",
            description = "The same, for a first request."),
    ),
    responses(
        (status = 200, description = "The events that follow.", body = ref("#/components/schemas/StreamEvent"), content_type = "text/event-stream",
            examples(
                ("status" = (value = json!(example_event("status")))),
                ("delta" = (value = json!(example_event("delta")))),
                ("done" = (value = json!(example_event("done")))),
            )),
        (status = 204, description = "The task has ended and its last event was seen: nothing follows, ever."),
    ),
    extensions(("x-problems" = json!(problems(&[Code::TaskNotFound, Code::UnknownCursor, Code::TooManyStreams])))),
)]
pub(crate) async fn stream_reply(
    State(state): State<Arc<ApiState>>,
    call: Call,
    PathId(id): PathId<TaskId>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let seen = seen_by(&headers, &Query::parse(query.as_deref(), &["after"])?)?;
    let task = find_task(&state, &call.caller, id).await?;
    note_session(&task);
    if task.status.is_terminal() && seen.cursor == Some(Cursor { attempt: task.attempt, place: Place::End }) {
        // The one answer that stops an EventSource from coming back.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let reader = follow_reply(&state, &call.caller, task, seen.cursor, seen.place).await?;
    let stream = ReplyStream::start(&state, reader, Box::new(NativeView), seen.cursor)
        .map_err(|error| follow_problem(error, seen.place))?;
    Ok(stream.into_response())
}

/// A reconnecting EventSource repeats its URL and adds the header, so the header is the later word.
fn seen_by(headers: &HeaderMap, query: &Query) -> Result<Seen, Problem> {
    let (text, place) = match (headers.get(LAST_EVENT_ID), query.get("after")) {
        (Some(value), _) => (value.to_str().map_err(|_| unknown_cursor(LAST_EVENT_ID))?, LAST_EVENT_ID),
        (None, Some(after)) => (after, "after"),
        (None, None) => return Ok(Seen { cursor: None, place: "after" }),
    };
    let cursor = text.parse().map_err(|_| unknown_cursor(place))?;
    Ok(Seen { cursor: Some(cursor), place })
}
