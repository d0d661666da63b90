//! The one error type: it renders problem details (RFC 9457) and keeps the cause of a fault of ours for the log.

use std::{borrow::Cow, sync::Arc};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use parlance_shared::port::PortError;
use serde::Serialize;

/// A machine's word for what is wrong. Each has one status and one title; `openapi.json` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    InvalidJson,
    InvalidField,
    MissingField,
    UnknownField,
    StrategyNotSupported,
    InvalidParameter,
    UnknownParameter,
    DuplicateParameter,
    InvalidHeader,
    UnknownCursor,
    HostMissing,
    HostNotAllowed,
    RouteNotFound,
    TaskNotFound,
    SessionNotFound,
    MethodNotAllowed,
    RequestTimeout,
    IdempotencyKeyReused,
    SessionDeleted,
    BodyTooLarge,
    ContentTooLarge,
    UnsupportedMediaType,
    InternalError,
    Unavailable,
    StorageFull,
    NotReady,
}

impl Code {
    /// Status, word and title.
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::InvalidJson => (S::BAD_REQUEST, "invalid_json", "The body is not JSON"),
            Self::InvalidField => (S::BAD_REQUEST, "invalid_field", "A field has a value that is not accepted"),
            Self::MissingField => (S::BAD_REQUEST, "missing_field", "A field is missing"),
            Self::UnknownField => (S::BAD_REQUEST, "unknown_field", "A field is not known"),
            Self::StrategyNotSupported => {
                (S::BAD_REQUEST, "strategy_not_supported", "This version does not support the strategy")
            }
            Self::InvalidParameter => {
                (S::BAD_REQUEST, "invalid_parameter", "A query parameter has a value that is not accepted")
            }
            Self::UnknownParameter => (S::BAD_REQUEST, "unknown_parameter", "A query parameter is not known"),
            Self::DuplicateParameter => (S::BAD_REQUEST, "duplicate_parameter", "A query parameter is given twice"),
            Self::InvalidHeader => (S::BAD_REQUEST, "invalid_header", "A header has a value that is not accepted"),
            Self::UnknownCursor => (S::BAD_REQUEST, "unknown_cursor", "The cursor was never handed out"),
            Self::HostMissing => (S::BAD_REQUEST, "host_missing", "The request names no host"),
            Self::HostNotAllowed => (S::FORBIDDEN, "host_not_allowed", "The request is for another host"),
            Self::RouteNotFound => (S::NOT_FOUND, "route_not_found", "There is nothing at this path"),
            Self::TaskNotFound => (S::NOT_FOUND, "task_not_found", "There is no such task"),
            Self::SessionNotFound => (S::NOT_FOUND, "session_not_found", "There is no such session"),
            Self::MethodNotAllowed => {
                (S::METHOD_NOT_ALLOWED, "method_not_allowed", "The path does not take this method")
            }
            Self::RequestTimeout => (S::REQUEST_TIMEOUT, "request_timeout", "The request did not come to its end"),
            Self::IdempotencyKeyReused => {
                (S::CONFLICT, "idempotency_key_reused", "The idempotency key belongs to another request")
            }
            Self::SessionDeleted => (S::CONFLICT, "session_deleted", "The session was deleted"),
            Self::BodyTooLarge => (S::PAYLOAD_TOO_LARGE, "body_too_large", "The body is too large"),
            Self::ContentTooLarge => (S::PAYLOAD_TOO_LARGE, "content_too_large", "The content is too long"),
            Self::UnsupportedMediaType => {
                (S::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "The body is of another media type")
            }
            Self::InternalError => (S::INTERNAL_SERVER_ERROR, "internal_error", "Something went wrong on our side"),
            Self::Unavailable => (S::SERVICE_UNAVAILABLE, "unavailable", "Not available for the moment"),
            Self::StorageFull => (S::SERVICE_UNAVAILABLE, "storage_full", "There is no room to store more"),
            Self::NotReady => (S::SERVICE_UNAVAILABLE, "not_ready", "Not ready to serve"),
        }
    }

    /// Every code, for the test that compares them with `openapi.json`.
    #[cfg(test)]
    pub(crate) fn words() -> Vec<&'static str> {
        use Code::*;
        [
            InvalidJson,
            InvalidField,
            MissingField,
            UnknownField,
            StrategyNotSupported,
            InvalidParameter,
            UnknownParameter,
            DuplicateParameter,
            InvalidHeader,
            UnknownCursor,
            HostMissing,
            HostNotAllowed,
            RouteNotFound,
            TaskNotFound,
            SessionNotFound,
            MethodNotAllowed,
            RequestTimeout,
            IdempotencyKeyReused,
            SessionDeleted,
            BodyTooLarge,
            ContentTooLarge,
            UnsupportedMediaType,
            InternalError,
            Unavailable,
            StorageFull,
            NotReady,
        ]
        .map(|code| code.parts().1)
        .to_vec()
    }
}

/// What is wrong with one field, parameter or header.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Fault {
    pub(crate) field: String,
    #[serde(serialize_with = "word")]
    pub(crate) code: Code,
    pub(crate) detail: Cow<'static, str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) accepted: Vec<String>,
}

fn word<S: serde::Serializer>(code: &Code, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(code.parts().1)
}

/// The cause of a 5xx, handed to the boundary that logs it.
#[derive(Clone, Debug)]
pub(crate) struct Cause(pub(crate) Arc<str>);

/// An answer that says what is wrong.
#[derive(Debug)]
pub(crate) struct Problem(Box<Inner>);

#[derive(Debug)]
struct Inner {
    code: Code,
    detail: Cow<'static, str>,
    faults: Vec<Fault>,
    retry_after: Option<u32>,
    cause: Option<Arc<str>>,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    accepted: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [Fault],
}

impl Problem {
    /// A problem that no single field is to blame for.
    pub(crate) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner { code, detail: detail.into(), faults: Vec::new(), retry_after: None, cause: None }))
    }

    /// A problem with one field, parameter or header.
    pub(crate) fn with_field(
        field: impl Into<String>,
        code: Code,
        detail: impl Into<Cow<'static, str>>,
        accepted: &[&str],
    ) -> Self {
        let accepted = accepted.iter().map(|&a| a.to_owned()).collect();
        Self::of_first(Fault { field: field.into(), code, detail: detail.into(), accepted }, Vec::new())
    }

    /// A problem with several fields; the first one gives the status and the top members.
    pub(crate) fn of_first(first: Fault, others: Vec<Fault>) -> Self {
        let detail = Cow::Owned(format!("{}: {}", first.field, first.detail));
        let mut problem = Self::new(first.code, detail);
        problem.0.faults.push(first);
        problem.0.faults.extend(others);
        problem
    }

    pub(crate) fn task_not_found() -> Self {
        Self::new(Code::TaskNotFound, "No task of yours has this id.")
    }

    pub(crate) fn session_not_found() -> Self {
        Self::new(Code::SessionNotFound, "No session of yours has this id.")
    }

    /// Something outside did not answer: the same call may work after `retry_after` seconds.
    pub(crate) fn unavailable(retry_after: u32, cause: impl Into<Arc<str>>) -> Self {
        Self::new(Code::Unavailable, "A part that this call needs does not answer. Try again.")
            .retry_after(retry_after)
            .caused_by(cause)
    }

    pub(crate) fn internal(cause: impl Into<Arc<str>>) -> Self {
        Self::new(Code::InternalError, "The call failed because of a fault of ours; it is in our log.").caused_by(cause)
    }

    pub(crate) fn retry_after(mut self, seconds: u32) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    pub(crate) fn caused_by(mut self, cause: impl Into<Arc<str>>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }
}

impl From<PortError> for Problem {
    fn from(error: PortError) -> Self {
        let cause = error.to_string();
        match error {
            PortError::Unavailable { .. } => Self::unavailable(1, cause),
            PortError::Full { .. } => Self::new(Code::StorageFull, "Nothing was stored. Try again once there is room.")
                .retry_after(30)
                .caused_by(cause),
            PortError::Rejected { .. } => Self::internal(cause),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Inner { code, detail, faults, retry_after, cause } = *self.0;
        let (status, word, title) = code.parts();
        let body = Body {
            r#type: format!("urn:parlance:problem:{word}"),
            title,
            status: status.as_u16(),
            detail: &detail,
            code: word,
            field: faults.first().map(|fault| fault.field.as_str()),
            accepted: faults.first().map_or(&[], |fault| fault.accepted.as_slice()),
            errors: if faults.len() > 1 { &faults } else { &[] },
        };
        // Strings and numbers only: this can't fail, and an empty body would still carry the status.
        let bytes = serde_json::to_vec(&body).unwrap_or_default();
        let content_type = HeaderValue::from_static("application/problem+json");
        let mut response = (status, [(header::CONTENT_TYPE, content_type)], bytes).into_response();
        if matches!(code, Code::RequestTimeout | Code::BodyTooLarge) {
            // What is left of the body can't be told from the next request.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(cause) = cause {
            response.extensions_mut().insert(Cause(cause));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_lists_every_code() {
        let description: serde_json::Value = serde_json::from_str(include_str!("../openapi.json")).unwrap();
        assert_eq!(description["components"]["schemas"]["ProblemCode"]["enum"], serde_json::json!(Code::words()));
    }
}
