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
use parlance_shared::{SessionId, event::MessageSubmitted};
use tracing::Span;

use crate::{
    call::Call,
    extract::{JsonBody, PathId, Query},
    idempotency,
    problem::{Code, Problem},
    read_message::{Asked, PostMessage},
    state::ApiState,
    submit::{StandsFor, Submission, TurnIds, submit},
};

/// `POST /v1/sessions/{session_id}/messages`
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
    let key = idempotency::key_of(headers)?;
    let fingerprint = key.map(|_| idempotency::fingerprint(session, &asked));
    let user = &call.caller.user;
    let session_id = session.unwrap_or_else(|| {
        let made = key.map_or_else(|| state.mint.mint(user), |key| state.mint.derive(user, key));
        // A path says it, and the span knows it; this one it does not.
        Span::current().record("session_id", tracing::field::display(made));
        made
    });
    let TurnIds { task_id, message_id, reply_message_id } = TurnIds::new(state, &call.caller, key);
    let Asked { content, model, strategy, metadata, input, edits } = asked;
    let submitted = MessageSubmitted {
        task_id,
        session_id,
        message_id,
        reply_message_id,
        user_id: user.clone(),
        content,
        model,
        strategy: strategy.unwrap_or_default(),
        metadata,
        // Messages of a session are listed in this order, and a quick client posts several within a millisecond.
        accepted_at: state.clock.now_precise(),
        fingerprint,
        input,
    };
    let stands_for = edits.map(StandsFor::Message);
    submit(state, call, Submission { submitted, session_is_new: session.is_none(), strategy, stands_for }, began).await
}
