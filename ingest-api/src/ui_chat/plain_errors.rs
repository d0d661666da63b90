//! Errors as `useChat` shows them: its transport makes the body's text the error's message, so the text is a sentence. The
//! machine's word stands in a header.

use axum::{body::Body, response::Response};
use http::{HeaderName, HeaderValue, header};

use crate::problem::Told;

/// The problem's code.
const CODE: HeaderName = HeaderName::from_static("x-problem-code");
const PATH: &str = "/v1/ui/chat";

/// Whether errors of this path are plain sentences.
pub(crate) fn is_spoken_at(path: &str) -> bool {
    path.strip_prefix(PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Writes a problem as its sentence; leaves every other answer alone. Headers stay, such as `Retry-After`.
pub(crate) fn translate(mut response: Response) -> Response {
    let Some(told) = response.extensions_mut().remove::<Told>() else { return response };
    let mut text = told.detail.into_owned();
    for fault in told.faults.iter().skip(1) {
        text.push_str(&format!(" {}: {}", fault.field, fault.detail));
    }
    if let Some(first) = told.faults.first().filter(|first| !first.accepted.is_empty()) {
        text.push_str(&format!(" Accepted: {}.", first.accepted.join(", ")));
    }
    *response.body_mut() = Body::from(text);
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CODE, HeaderValue::from_static(told.code.parts().1));
    response
}
