//! The span of a call, from its head to the head of its answer. A stream goes on after it: how its reply came to be is in
//! the spans of the worker.
//!
//! Named and described as OpenTelemetry's HTTP conventions ask, but for the path: it can hold what the client chose.

use axum::{
    extract::{MatchedPath, Request},
    response::Response,
};
use http::{HeaderMap, HeaderValue, header};
use parlance_shared::{
    CallId,
    trace::{Kind, Span, TRACEPARENT, TRACESTATE, TraceContext},
};

/// What is called every few seconds by machines is no work of anybody's.
const UNRECORDED: [&str; 3] = ["/health", "/health/ready", "/metrics"];

/// Those that HTTP defines, and `_OTHER`, as OpenTelemetry wants it.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];

pub(crate) fn begin(request: &Request, call: CallId) -> Span {
    let came = came(request.headers());
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    if route.is_some_and(|route| UNRECORDED.contains(&route)) {
        return Span::unrecorded(came);
    }
    let given = request.method().as_str();
    let method = METHODS.into_iter().find(|known| *known == given).unwrap_or("_OTHER");
    let mut span = Span::enter(came, Kind::Server, || match (route, method) {
        (Some(route), "_OTHER") => format!("HTTP {route}").into(),
        (Some(route), method) => format!("{method} {route}").into(),
        (None, "_OTHER") => "HTTP".into(),
        (None, method) => method.into(),
    });
    span.set("http.request.method", || method);
    if let Some(route) = route {
        span.set("http.route", || route.to_owned());
    }
    span.set("parlance.call_id", || call.to_string());
    span
}

pub(crate) fn end(mut span: Span, response: &Response) {
    let status = response.status();
    span.set("http.response.status_code", || i64::from(status.as_u16()));
    if let Some(task) = response.headers().get(header::LOCATION).and_then(task_of) {
        span.set("parlance.task_id", || task.to_owned());
    }
    if status.is_server_error() {
        span.set("error.type", || status.as_str().to_owned());
        span.fail(|| status.as_str().to_owned().into());
    }
}

fn task_of(location: &HeaderValue) -> Option<&str> {
    location.to_str().ok()?.strip_prefix("/v1/tasks/")
}

/// The caller's trace, or its proxy's. One that is there twice says nothing.
fn came(headers: &HeaderMap) -> Option<TraceContext> {
    let mut parents = headers.get_all(TRACEPARENT).iter();
    let (Some(parent), None) = (parents.next(), parents.next()) else { return None };
    let context = TraceContext::parse(parent.to_str().ok()?)?;
    let states: Vec<&str> = headers.get_all(TRACESTATE).iter().filter_map(|state| state.to_str().ok()).collect();
    Some(if states.is_empty() { context } else { context.with_state(&states.join(",")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn read(headers: &[(&'static str, &str)]) -> Option<TraceContext> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        came(&map)
    }

    #[test]
    fn a_trace_is_taken_if_it_is_one() {
        let context = read(&[("traceparent", GIVEN), ("tracestate", "a=1"), ("tracestate", "b=2")]).unwrap();
        assert_eq!((context.traceparent().as_str(), context.state()), (GIVEN, Some("a=1,b=2")));
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[("tracestate", "a=1")]), None);
        assert_eq!(read(&[("traceparent", "00-1-2-3")]), None);
        assert_eq!(read(&[("traceparent", GIVEN), ("traceparent", GIVEN)]), None);
    }
}
