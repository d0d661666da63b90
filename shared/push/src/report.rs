//! What surrounds every call: the count by class of status, and the one log line.

use std::{sync::Arc, time::Instant};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderValue, header};
use parlance_shared::metrics::class_of;
use tracing::{debug, error, warn};

use crate::{problem::Note, router::HttpState};

/// What strangers wrote may be part of a cause.
const LONGEST_CAUSE: usize = 500;

fn short(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_CAUSE)]
}

/// Wraps every route and fallback.
pub(crate) async fn report(State(state): State<Arc<HttpState>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().to_string();
    let mut response = next.run(request).await;
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    let status = response.status().as_u16();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    state.parts.metrics.http_responses.inc(class_of(status));
    state.parts.metrics.http.answered(&method, route, class_of(status), began.elapsed());
    let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    match response.extensions().get::<Note>() {
        Some(Note::Fault(cause)) => {
            error!(http.route = route, http.status = status, duration_us = micros, cause, "call failed");
        }
        Some(Note::Refused { code, field, cause }) => {
            if let Some(left_out) = state.refusals.admit() {
                let (field, cause) = (field.as_deref().map(short), short(cause));
                warn!(http.route = route, http.status = status, code, field, cause, left_out, "call refused");
            }
        }
        // What became of a message is in the processor's line.
        Some(Note::Quiet) | None => {
            debug!(http.route = route, http.status = status, duration_us = micros, "call answered");
        }
    }
    response
}
