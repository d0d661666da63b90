//! `GET /v1/tasks/{id}/stream`: the task's log as server-sent events, from wherever the client has come to.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{RawQuery, State},
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use parlance_shared::{
    Caller, TaskId,
    cursor::{Cursor, Place},
    port::{
        PortError,
        reply_log::{FollowError, ReplyReader},
    },
    task::Task,
};

use crate::{
    call::Call,
    extract::{PathId, Query},
    find_task::{find_task, follow_problem, note_session, unknown_cursor},
    problem::Problem,
    reply_stream::ReplyStream,
    serve::LongLived,
    state::ApiState,
    stored_reply::StoredReply,
};

const LAST_EVENT_ID: &str = "Last-Event-ID";

/// What the client has seen, and where it said so.
#[derive(Clone, Copy)]
struct Seen {
    cursor: Option<Cursor>,
    place: &'static str,
}

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
    let reader = open(&state, &call.caller, task, seen).await?;
    let stream = ReplyStream::start(&state, reader, seen.cursor).map_err(|error| follow_problem(error, seen.place))?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((axum::Extension(LongLived), headers, Body::from_stream(stream.into_chunks())).into_response())
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

async fn open(state: &ApiState, caller: &Caller, task: Task, seen: Seen) -> Result<Box<dyn ReplyReader>, Problem> {
    let opening = state.log.follow(&caller.user, task.id, seen.cursor);
    let opened = match tokio::time::timeout(state.limits.read_timeout, opening).await {
        Ok(opened) => opened,
        Err(_) => Err(PortError::Unavailable { what: "reply log", cause: "it took too long to open".into() }.into()),
    };
    match opened {
        Ok(reader) => Ok(reader),
        Err(FollowError::Expired) => {
            // The task may have ended after it was looked up.
            let task = if task.status.is_terminal() { task } else { find_task(state, caller, task.id).await? };
            let stored = StoredReply::open(task, seen.cursor).map_err(|_| unknown_cursor(seen.place))?;
            Ok(Box::new(stored))
        }
        Err(error) => Err(follow_problem(error, seen.place)),
    }
}
