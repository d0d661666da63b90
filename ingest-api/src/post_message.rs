//! `POST /v1/sessions/{id}/messages` and `POST /v1/messages`: authenticate, validate, publish, 202.
//!
//! Nothing is written but the event, unless the message interrupts others. The one read, what waits in the session, is a
//! glance ([`crate::admit`]), and a new session costs none.

use std::{sync::Arc, time::Instant};

use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use http::HeaderMap;
use parlance_shared::SessionId;

use crate::{
    accept,
    call::Call,
    extract::{JsonBody, PathId, Query},
    openapi::{FirstMessage, IdempotencyKey, problems},
    problem::{Code, Problem},
    read_message::PostMessage,
    state::ApiState,
    submit::{Accepted, accepted},
};

/// `POST /v1/sessions/{session_id}/messages`
#[utoipa::path(
    post,
    path = "/v1/sessions/{session_id}/messages",
    operation_id = "postMessage",
    tag = "messages",
    summary = "Send a message",
    description = "With `edits`, 409 tells what can't be edited: message_superseded, message_too_old, message_not_recorded \
                   (accepted within the last minute: come again), session_busy. 404 message_not_found: no message of the user's \
                   in this session.",
    params(
        ("session_id" = SessionId, Path),
        IdempotencyKey,
    ),
    request_body = PostMessage,
    responses((
        status = 202,
        description = "The message is durable and will be answered.",
        body = Accepted,
        headers(("Location" = String, description = "The task's path.")),
    )),
    extensions(("x-problems" = json!(problems(&[Code::SessionNotFound, Code::SessionDeleted, Code::SessionBusy, Code::TooManyTasks, Code::TooManyQueued, Code::ContentTooLarge, Code::BudgetExhausted, Code::Unavailable, Code::StorageFull, Code::MessageNotFound, Code::MessageNotRecorded, Code::MessageSuperseded, Code::MessageTooOld])))),
)]
pub(crate) async fn post_message(
    State(state): State<Arc<ApiState>>,
    call: Call,
    PathId(session): PathId<SessionId>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    JsonBody(message): JsonBody<PostMessage>,
) -> Result<Response, Problem> {
    let began = Instant::now();
    Query::none(query.as_deref())?;
    if !state.mint.made_for(&call.caller.user, session) {
        return Err(Problem::session_not_found());
    }
    accept(&state, &call, Some(session), &headers, message, began).await
}

/// `POST /v1/messages`
#[utoipa::path(
    post,
    path = "/v1/messages",
    operation_id = "postMessageToNewSession",
    tag = "messages",
    summary = "Send a message in a new session",
    params(
        IdempotencyKey,
    ),
    request_body = FirstMessage,
    responses((
        status = 202,
        description = "The message is durable and will be answered.",
        body = Accepted,
        headers(("Location" = String, description = "The task's path.")),
    )),
    extensions(("x-problems" = json!(problems(&[Code::SessionDeleted, Code::SessionBusy, Code::TooManyTasks, Code::TooManyQueued, Code::ContentTooLarge, Code::BudgetExhausted, Code::Unavailable, Code::StorageFull])))),
)]
pub(crate) async fn post_message_to_new_session(
    State(state): State<Arc<ApiState>>,
    call: Call,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    JsonBody(message): JsonBody<PostMessage>,
) -> Result<Response, Problem> {
    let began = Instant::now();
    Query::none(query.as_deref())?;
    accept(&state, &call, None, &headers, message, began).await
}

async fn accept(
    state: &ApiState,
    call: &Call,
    session: Option<SessionId>,
    headers: &HeaderMap,
    message: PostMessage,
    began: Instant,
) -> Result<Response, Problem> {
    let asked = message.read(state)?;
    if session.is_none() && asked.edits.is_some() {
        let detail = "can't be given for a new session: there is nothing to edit.";
        return Err(Problem::with_field("edits", Code::InvalidField, detail, &["null"]));
    }
    Ok(accepted(&accept::accept(state, call, session, headers, asked, began).await?))
}
