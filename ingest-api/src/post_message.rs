//! `POST /v1/sessions/{id}/messages` and `POST /v1/messages`: authenticate, validate, publish, 202.
//!
//! Nothing is written but the event. The one read, whether the session was deleted, is a glance: if the store is slow or
//! away, the message is accepted, and the worker that finds the session deleted ends the task as cancelled.

use std::{sync::Arc, time::Instant};

use axum::{
    Json,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use parlance_shared::{
    Caller, MessageId, SessionId, TaskId,
    event::{MessageSubmitted, Strategy, from_cloud_event},
    port::{bus::Published, store::Lookup},
    session::Metadata,
    task::Status,
};
use serde::{Deserialize, Serialize};
use tracing::{Span, warn};

use crate::{
    bounded::bounded,
    call::Call,
    extract::{Field, JsonBody, PathId, Query, RequestBody},
    idempotency::{self, Earlier},
    problem::Problem,
    publish::publish,
    state::ApiState,
    validate::Faults,
};

/// What a client asks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PostMessage {
    pub(crate) content: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) strategy: Option<String>,
    pub(crate) metadata: Option<Metadata>,
}

impl RequestBody for PostMessage {
    const FIELDS: &'static [Field] = &[
        ("content", "a string"),
        ("model", "a string, or null"),
        ("strategy", "the string \"enqueue\", or null"),
        ("metadata", "an object, or null"),
    ];
}

/// The 202. It holds nothing that a repeat under the same idempotency key would not have.
#[derive(Debug, Serialize)]
struct Accepted {
    task_id: TaskId,
    message_id: MessageId,
    session_id: SessionId,
    status: Status,
    links: Links,
}

#[derive(Debug, Serialize)]
struct Links {
    task: String,
    stream: String,
    cancel: String,
    session: String,
}

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
    validate(state, &message)?;
    let key = idempotency::key_of(headers)?;
    let fingerprint = key.map(|_| idempotency::fingerprint(session, &message));
    let submitted = submission(state, &call.caller, session, key, fingerprint, message);
    let span = Span::current();
    span.record("task_id", tracing::field::display(submitted.task_id));
    match session {
        // The path has said it, and the span knows it.
        Some(session) => refuse_deleted(state, &call.caller, session).await?,
        None => {
            span.record("session_id", tracing::field::display(submitted.session_id));
        }
    }
    if let Some(fingerprint) = submitted.fingerprint.as_deref() {
        let earlier = idempotency::find_earlier(state, &call.caller, submitted.task_id, fingerprint).await?;
        if earlier == Earlier::Same {
            return Ok(accepted(&submitted));
        }
    }
    match publish(state, call, &submitted).await? {
        Published::New => {
            state.metrics.accepted.inc();
            state.metrics.accept_latency.observe(began.elapsed());
        }
        Published::Duplicate(event) => {
            let earlier: MessageSubmitted =
                from_cloud_event(&event).map_err(|error| Problem::internal(error.to_string()))?;
            idempotency::compare(earlier.fingerprint.as_deref(), submitted.fingerprint.as_deref().unwrap_or_default())?;
        }
    }
    Ok(accepted(&submitted))
}

fn validate(state: &ApiState, message: &PostMessage) -> Result<(), Problem> {
    let mut faults = Faults::default();
    faults.content(message.content.as_deref());
    faults.model(message.model.as_deref(), &state.allowed_models);
    faults.strategy(message.strategy.as_deref());
    faults.metadata(message.metadata.as_ref());
    faults.into_result()
}

/// With a key, every id follows from it; without, every id is new.
fn submission(
    state: &ApiState,
    caller: &Caller,
    session: Option<SessionId>,
    key: Option<&str>,
    fingerprint: Option<String>,
    message: PostMessage,
) -> MessageSubmitted {
    let (mint, user) = (&state.mint, &caller.user);
    let (task_id, message_id, reply_message_id) = match key {
        None => (mint.mint(user), mint.mint(user), mint.mint(user)),
        // The two messages of a turn need keys of their own; neither can be a client's, as those have no spaces.
        Some(key) => {
            (mint.derive(user, key), mint.derive(user, key), mint.derive::<MessageId>(user, &format!("{key} reply")))
        }
    };
    let session_id = session.unwrap_or_else(|| match key {
        None => mint.mint(user),
        Some(key) => mint.derive(user, key),
    });
    MessageSubmitted {
        task_id,
        session_id,
        message_id,
        reply_message_id,
        user_id: user.clone(),
        content: message.content.unwrap_or_default(),
        model: message.model,
        strategy: Strategy::Enqueue,
        metadata: message.metadata,
        // Messages of a session are listed in this order, and a quick client posts several within a millisecond.
        accepted_at: state.clock.now_precise(),
        fingerprint,
        input: Default::default(),
    }
}

async fn refuse_deleted(state: &ApiState, caller: &Caller, session: SessionId) -> Result<(), Problem> {
    match bounded(state.limits.glance_timeout, "store", state.store.session(&caller.user, session)).await {
        Ok(Lookup::Deleted) => Err(Problem::session_not_found()),
        Ok(Lookup::Found(_) | Lookup::Unknown) => Ok(()),
        Err(error) => {
            warn!(%error, "accepting without a look whether the session was deleted");
            Ok(())
        }
    }
}

fn accepted(submitted: &MessageSubmitted) -> Response {
    let MessageSubmitted { task_id, message_id, session_id, .. } = *submitted;
    let task = format!("/v1/tasks/{task_id}");
    let location = HeaderValue::from_str(&task);
    let links = Links {
        stream: format!("{task}/stream"),
        cancel: format!("{task}/cancel"),
        session: format!("/v1/sessions/{session_id}"),
        task,
    };
    let body = Accepted { task_id, message_id, session_id, status: Status::Queued, links };
    let mut response = (StatusCode::ACCEPTED, Json(body)).into_response();
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
