//! What surrounds every call: its id, its span, the host check, the headers that each answer carries, one log line, and
//! the count by class. The cause of a 5xx is logged here, once, and nowhere else.

use std::{convert::Infallible, panic::AssertUnwindSafe, sync::Arc, time::Instant};

use axum::{
    extract::{FromRequestParts, MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use futures_util::FutureExt as _;
use http::{HeaderName, HeaderValue, header, request::Parts};
use parlance_shared::{CallId, Caller, Clock, id::PrefixedId as _};
use tracing::{Instrument as _, Span, debug, error, error_span, field::Empty, info};
use uuid::{Builder, Uuid};

use crate::{
    host_check,
    problem::{Cause, Problem},
    state::ApiState,
};

const CALL_ID: HeaderName = HeaderName::from_static("x-call-id");

/// Who calls, and the call's own id.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) caller: Caller,
    pub(crate) id: CallId,
}

/// The one place where a caller is told from another: this version serves the one local user.
fn authenticate(_parts: &Parts) -> Caller {
    Caller::local()
}

impl FromRequestParts<Arc<ApiState>> for Call {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<ApiState>) -> Result<Self, Infallible> {
        let id = parts.extensions.get::<CallId>().copied().unwrap_or_else(|| new_call_id(&state.clock));
        Ok(Self { caller: authenticate(parts), id })
    }
}

/// Wraps every route and fallback.
pub(crate) async fn around(State(state): State<Arc<ApiState>>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = new_call_id(&state.clock);
    request.extensions_mut().insert(id);
    let span = span_of(&request, id);
    let mut response = match host_check::check(&request) {
        Ok(()) => AssertUnwindSafe(next.run(request).instrument(span.clone()))
            .catch_unwind()
            .await
            .unwrap_or_else(|_| Problem::internal("the handler panicked").into_response()),
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(CALL_ID, value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    report(&state, &span, &response, began);
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
    state.metrics.http_responses.inc(match status.as_u16() {
        ..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        500.. => "5xx",
    });
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
