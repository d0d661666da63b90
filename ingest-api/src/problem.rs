//! The one error type: it renders problem details (RFC 9457) and keeps the cause of a fault of ours for the log.

use std::{borrow::Cow, sync::Arc};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use parlance_shared::port::PortError;
use serde::Serialize;
use serde_json::{Map, Value};

pub(crate) use crate::problem_code::Code;

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

/// What an answer says, handed to whoever writes it in the shape of another protocol.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) code: Code,
    pub(crate) detail: Cow<'static, str>,
    pub(crate) faults: Vec<Fault>,
}

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
    /// Of this problem alone.
    members: Map<String, Value>,
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
    #[serde(flatten)]
    members: &'a Map<String, Value>,
}

impl Inner {
    fn shown(&self) -> Body<'_> {
        let (status, word, title) = self.code.parts();
        Body {
            r#type: format!("urn:parlance:problem:{word}"),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            code: word,
            field: self.faults.first().map(|fault| fault.field.as_str()),
            accepted: self.faults.first().map_or(&[], |fault| fault.accepted.as_slice()),
            errors: if self.faults.len() > 1 { &self.faults } else { &[] },
            members: &self.members,
        }
    }
}

impl Problem {
    /// A problem that no single field is to blame for.
    pub(crate) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        let (detail, faults) = (detail.into(), Vec::new());
        Self(Box::new(Inner { code, detail, faults, retry_after: None, cause: None, members: Map::new() }))
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

    /// What is wrong.
    pub(crate) fn code(&self) -> Code {
        self.0.code
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

    /// A member that problems of this code have.
    pub(crate) fn member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.members.insert(name.to_owned(), value.into());
        self
    }

    /// What its body says.
    pub(crate) fn body(&self) -> Value {
        serde_json::to_value(self.0.shown()).unwrap_or_default()
    }

    /// When the same call may work.
    pub(crate) fn retry_after_seconds(&self) -> Option<u32> {
        self.0.retry_after
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
        // Strings and numbers only: this can't fail, and an empty body would still carry the status.
        let bytes = serde_json::to_vec(&self.0.shown()).unwrap_or_default();
        let Inner { code, detail, faults, retry_after, cause, .. } = *self.0;
        let status = code.parts().0;
        let content_type = HeaderValue::from_static("application/problem+json");
        let mut response = (status, [(header::CONTENT_TYPE, content_type)], bytes).into_response();
        if matches!(code, Code::RequestTimeout | Code::BodyTooLarge) {
            // What is left of the body can't be told from the next request.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if code == Code::Unauthenticated {
            let challenge = HeaderValue::from_static("Bearer realm=\"parlance\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(cause) = cause {
            response.extensions_mut().insert(Cause(cause));
        }
        response.extensions_mut().insert(Told { code, detail, faults });
        response
    }
}
