//! What surrounds every call: its id, its span, the front door, the headers that each answer carries, one log line, and
//! the count by class. The cause of a 5xx is logged here, once, and nowhere else.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};

use axum::{
    extract::{FromRequestParts, MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use futures_util::FutureExt as _;
use http::{HeaderName, HeaderValue, request::Parts};
use parlance_shared::{CallId, Caller, Clock, id::PrefixedId as _, metrics::class_of, trace};
use tracing::{Instrument as _, Span, debug, error, error_span, field::Empty, info};
use uuid::{Builder, Uuid};

use crate::{
    call_span, front_door, openai,
    problem::{Cause, Problem},
    state::ApiState,
    ui_chat,
};

const CALL_ID: HeaderName = HeaderName::from_static("x-call-id");

/// The same, where OpenAI's clients look for it.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// By which a frontend can quote the trace of its call, whether it had one of its own or not.
const TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");

/// Who calls, and the call's own id.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) caller: Caller,
    pub(crate) id: CallId,
}

impl FromRequestParts<Arc<ApiState>> for Call {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<ApiState>) -> Result<Self, Problem> {
        match (parts.extensions.get::<CallId>(), parts.extensions.get::<Caller>()) {
            (Some(id), Some(caller)) => Ok(Self { caller: caller.clone(), id: *id }),
            // A route that is open to all has no use for a caller.
            _ => Err(Problem::internal("nobody has looked at who calls")),
        }
    }
}

/// Wraps every route and fallback.
pub(crate) async fn around(State(state): State<Arc<ApiState>>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = new_call_id(&state.clock);
    request.extensions_mut().insert(id);
    let span = span_of(&request, id);
    let traced = call_span::begin(&request, id);
    let (method, route) = (request.method().clone(), request.extensions().get::<MatchedPath>().cloned());
    let for_openai = openai::error::is_spoken_at(request.uri().path());
    let for_ui = ui_chat::plain_errors::is_spoken_at(request.uri().path());
    let answering = AssertUnwindSafe(front_door::pass(&state, request, next).instrument(span.clone())).catch_unwind();
    let mut response =
        traced.scope(answering).await.unwrap_or_else(|_| Problem::internal("the handler panicked").into_response());
    if for_openai {
        response = openai::error::translate(response);
    } else if for_ui {
        response = ui_chat::plain_errors::translate(response);
    }
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        if for_openai {
            headers.insert(REQUEST_ID, value.clone());
        }
        headers.insert(CALL_ID, value);
    }
    if let Ok(value) = HeaderValue::from_str(&traced.context().trace_id().to_string()) {
        headers.insert(TRACE_ID, value);
    }
    state.door.add_headers(headers);
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    state.metrics.http.answered(method.as_str(), route, class_of(response.status().as_u16()), began.elapsed());
    trace::sync_scope(traced.context().clone(), || report(&state, &span, &response, began));
    call_span::end(traced, &response);
    response
}

/// Places for the ids that handlers learn on their way are kept empty. Lines carry them whatever the level: a span of a level
/// that is not logged would take its ids with it.
fn span_of(request: &Request, id: CallId) -> Span {
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str);
    let (call_id, method) = (tracing::field::display(id), request.method().as_str());
    error_span!("call", call_id, http.method = method, http.route = route, task_id = Empty, session_id = Empty)
}

fn report(state: &ApiState, span: &Span, response: &Response, began: Instant) {
    let status = response.status();
    state.metrics.http_responses.inc(class_of(status.as_u16()));
    let _entered = span.enter();
    let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    let status = status.as_u16();
    if let Some(Cause(cause)) = response.extensions().get() {
        error!(http.status = status, duration_us = micros, cause = &**cause, "call failed");
    } else if response.extensions().get::<Quiet>().is_some() {
        debug!(http.status = status, duration_us = micros, "call answered");
    } else {
        info!(http.status = status, duration_us = micros, "call answered");
    }
}

/// Put into an answer's extensions by what is called every few seconds: its log line is for debugging only.
#[derive(Clone, Copy)]
pub(crate) struct Quiet;

/// The log need not trust ids from outside, so none is taken.
fn new_call_id(clock: &Clock) -> CallId {
    let mut random = [0; 10];
    random.copy_from_slice(&Uuid::new_v4().as_bytes()[6..]);
    let millis = u64::try_from(clock.now_millis()).unwrap_or_default();
    CallId::from_uuid(Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
}
