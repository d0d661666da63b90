//! Answers that say what is wrong: problem details (RFC 9457), and what the log is told beside them.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

macro_rules! codes {
    ($($name:ident $status:ident $word:literal $title:literal;)+) => {
        /// A machine's word for what is wrong, with its status and title.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Code {
            $($name,)+
        }

        impl Code {
            pub(crate) fn parts(self) -> (StatusCode, &'static str, &'static str) {
                match self {
                    $(Self::$name => (StatusCode::$status, $word, $title),)+
                }
            }
        }
    };
}

codes! {
    InvalidJson BAD_REQUEST "invalid_json" "The body is not JSON";
    InvalidField BAD_REQUEST "invalid_field" "A field has a value that is not accepted";
    MissingField BAD_REQUEST "missing_field" "A field is missing";
    InvalidHeader BAD_REQUEST "invalid_header" "A header has a value that is not accepted";
    UnknownSubscription BAD_REQUEST "unknown_subscription" "This worker does not read the subscription";
    BodyCut BAD_REQUEST "body_cut" "The body ended before its end";
    Unauthenticated UNAUTHORIZED "unauthenticated" "The request needs a valid token";
    Forbidden FORBIDDEN "forbidden" "The token is someone else's";
    RouteNotFound NOT_FOUND "route_not_found" "There is nothing at this path";
    MethodNotAllowed METHOD_NOT_ALLOWED "method_not_allowed" "The path does not take this method";
    RequestTimeout REQUEST_TIMEOUT "request_timeout" "The request did not come to its end";
    BodyTooLarge PAYLOAD_TOO_LARGE "body_too_large" "The body is too large";
    Busy TOO_MANY_REQUESTS "busy" "As many messages as it takes are being worked on";
    InternalError INTERNAL_SERVER_ERROR "internal_error" "Something went wrong on our side";
    RetryLater SERVICE_UNAVAILABLE "retry_later" "The message is to be delivered again";
    Stopping SERVICE_UNAVAILABLE "stopping" "The process is stopping";
    Unavailable SERVICE_UNAVAILABLE "unavailable" "Not available for the moment";
    NotReady SERVICE_UNAVAILABLE "not_ready" "Not ready to serve";
}

/// What the log is told of an answer; put into its extensions.
#[derive(Clone, Debug)]
pub(crate) enum Note {
    /// Someone asks every few seconds, or the processor has told it: for debugging only.
    Quiet,
    /// The caller's fault: a line once in a while is enough.
    Refused { code: &'static str, field: Option<String>, cause: String },
    /// Ours.
    Fault(String),
}

/// An answer that says what is wrong.
#[derive(Debug)]
pub(crate) struct Problem(Box<Inner>);

#[derive(Debug)]
struct Inner {
    code: Code,
    detail: Cow<'static, str>,
    field: Option<String>,
    reasons: Vec<&'static str>,
    retry_after: Option<u64>,
    challenge: Option<&'static str>,
    cause: Option<String>,
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
    reasons: &'a [&'static str],
}

impl Problem {
    /// A problem that no single field is to blame for.
    pub(crate) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            code,
            detail: detail.into(),
            field: None,
            reasons: Vec::new(),
            retry_after: None,
            challenge: None,
            cause: None,
        }))
    }

    /// A problem with one field of the body, or one header.
    pub(crate) fn with_field(field: impl Into<String>, code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        let mut problem = Self::new(code, detail);
        problem.0.field = Some(field.into());
        problem
    }

    #[cfg(feature = "fuzzing")]
    pub(crate) fn status(&self) -> StatusCode {
        self.0.code.parts().0
    }

    /// Codes of what is amiss.
    pub(crate) fn reasons(mut self, codes: Vec<&'static str>) -> Self {
        self.0.reasons = codes;
        self
    }

    /// `Retry-After`, in seconds.
    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// `WWW-Authenticate`.
    pub(crate) fn challenge(mut self, challenge: &'static str) -> Self {
        self.0.challenge = Some(challenge);
        self
    }

    /// What the log is told and the caller is not.
    pub(crate) fn caused_by(mut self, cause: impl Into<String>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }
}

impl Inner {
    fn note(&self) -> Note {
        let (status, word, _) = self.code.parts();
        match (&self.cause, status) {
            (Some(cause), status) if status.is_server_error() => Note::Fault(cause.clone()),
            (_, status) if status.is_server_error() => Note::Quiet,
            (cause, _) => {
                let cause = cause.clone().unwrap_or_else(|| self.detail.clone().into_owned());
                Note::Refused { code: word, field: self.field.clone(), cause }
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let problem = *self.0;
        let (status, word, title) = problem.code.parts();
        let body = Body {
            r#type: format!("urn:parlance:problem:{word}"),
            title,
            status: status.as_u16(),
            detail: &problem.detail,
            code: word,
            field: problem.field.as_deref(),
            reasons: &problem.reasons,
        };
        // Strings and numbers only: this can't fail, and an empty body would still carry the status.
        let bytes = serde_json::to_vec(&body).unwrap_or_default();
        let content_type = HeaderValue::from_static("application/problem+json");
        let mut response = (status, [(header::CONTENT_TYPE, content_type)], bytes).into_response();
        response.extensions_mut().insert(problem.note());
        let headers = response.headers_mut();
        if matches!(problem.code, Code::RequestTimeout | Code::BodyTooLarge) {
            // What is left of the body can't be told from the next request.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(challenge) = problem.challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(seconds) = problem.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
