//! Errors as OpenAI's clients know them: `{"error": {message, type, param, code}}` with the status, and `x-should-retry`,
//! which their SDKs follow before they look at the status.
//!
//! Whatever refuses a call (a handler, authentication, limits) makes a problem; [`translate`] writes it anew where the path is
//! OpenAI's. How a task failed is told by [`OpenAiError::of_task`].

use std::{borrow::Cow, io};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::{BufMut as _, BytesMut};
use http::{HeaderName, HeaderValue, StatusCode, header};
use parlance_shared::task::{Status, Task, codes};
use serde::Serialize;

use crate::problem::{Code, Told};

/// What the SDKs go by.
pub(crate) const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Paths whose errors have OpenAI's shape, with all below them.
const PATHS: [&str; 3] = ["/v1/chat", "/v1/responses", "/v1/models"];

/// An error in OpenAI's shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenAiError {
    pub(crate) status: StatusCode,
    pub(crate) body: ErrorBody,
    /// Whether the same request, sent again, may do better.
    pub(crate) should_retry: bool,
}

/// What stands under `error`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ErrorBody {
    /// For a person.
    pub(crate) message: String,
    /// What sort of error it is.
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    /// The member of the request that is to blame.
    pub(crate) param: Option<String>,
    /// A machine's word.
    pub(crate) code: Cow<'static, str>,
}

/// As an answer's body, and as a frame of a stream: whoever reads either finds `error` at the top.
#[derive(Serialize)]
struct Enveloped<'a> {
    error: &'a ErrorBody,
}

/// Whether errors of this path have OpenAI's shape.
pub(crate) fn is_spoken_at(path: &str) -> bool {
    PATHS.iter().any(|known| path.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// Writes a problem in OpenAI's shape; leaves every other answer alone. Headers stay, such as `Retry-After`.
pub(crate) fn translate(mut response: Response) -> Response {
    let Some(told) = response.extensions_mut().remove::<Told>() else { return response };
    let error = OpenAiError::of_problem(response.status(), &told);
    *response.body_mut() = Body::from(error.to_json());
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.entry(SHOULD_RETRY).or_insert(yes_or_no(error.should_retry));
    response
}

impl OpenAiError {
    /// An error that is no problem of the call itself.
    pub(crate) fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
        should_retry: bool,
    ) -> Self {
        let code = code.into();
        let kind = kind(status, &code);
        Self { status, body: ErrorBody { message: message.into(), kind, param: None, code }, should_retry }
    }

    fn of_problem(status: StatusCode, told: &Told) -> Self {
        let mut message = told.detail.clone().into_owned();
        for fault in told.faults.iter().skip(1) {
            message.push_str(&format!(" {}: {}", fault.field, fault.detail));
        }
        if let Some(first) = told.faults.first().filter(|first| !first.accepted.is_empty()) {
            message.push_str(&format!(" Accepted: {}.", first.accepted.join(", ")));
        }
        let should_retry = match told.code {
            Code::SessionBusy => true,
            Code::BudgetExhausted => false,
            _ => {
                let transient = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
                transient || status.is_server_error()
            }
        };
        let mut error = Self::new(status, told.code.parts().1, message, should_retry);
        error.body.param = told.faults.first().map(|fault| fault.field.clone());
        error
    }

    /// How a task that was not completed ended.
    pub(crate) fn of_task(task: &Task) -> Self {
        let id = task.id;
        if task.status == Status::Cancelled {
            let message = format!("The reply was cancelled. What had been said is kept: GET /v1/tasks/{id}.");
            return Self::new(StatusCode::CONFLICT, "cancelled", message, false);
        }
        let Some(failed) = &task.error else {
            return Self::new(StatusCode::INTERNAL_SERVER_ERROR, codes::INTERNAL, "The reply failed.", true);
        };
        let (status, code) = match failed.code.as_str() {
            "provider_rate_limited" => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded"),
            codes::BUDGET_EXHAUSTED => (StatusCode::TOO_MANY_REQUESTS, codes::BUDGET_EXHAUSTED),
            "context_too_long" | codes::MESSAGE_TOO_LONG => (StatusCode::BAD_REQUEST, "context_length_exceeded"),
            "content_refused" => (StatusCode::BAD_REQUEST, "content_filter"),
            "unknown_model" => (StatusCode::NOT_FOUND, "model_not_found"),
            "provider_rejected" => (StatusCode::BAD_REQUEST, "provider_rejected"),
            "images_not_supported" => (StatusCode::BAD_REQUEST, "images_not_supported"),
            "tools_not_supported" => (StatusCode::BAD_REQUEST, "tools_not_supported"),
            codes::SESSION_BUSY => (StatusCode::CONFLICT, codes::SESSION_BUSY),
            "provider_first_token_timeout" | "provider_stalled" | "provider_reply_timeout" | codes::TURN_TIMEOUT => {
                (StatusCode::GATEWAY_TIMEOUT, "")
            }
            codes::WORKER_LOST | codes::INTERNAL | codes::UNREADABLE_REQUEST => (StatusCode::INTERNAL_SERVER_ERROR, ""),
            _ => (StatusCode::BAD_GATEWAY, ""),
        };
        let code = if code.is_empty() { Cow::Owned(failed.code.clone()) } else { Cow::Borrowed(code) };
        let mut error = Self::new(status, code, failed.message.clone(), failed.retryable);
        error.body.param = match &*error.body.code {
            "context_length_exceeded" => Some("messages".to_owned()),
            "model_not_found" => Some("model".to_owned()),
            _ => None,
        };
        error
    }

    /// The task's end was not waited for, or can't be told here: it goes on.
    pub(crate) fn goes_on(task: impl std::fmt::Display, status: StatusCode, code: &'static str, why: &str) -> Self {
        let message = format!("{why} The reply goes on and is kept: GET /v1/tasks/{task}, or /v1/tasks/{task}/stream.");
        Self::new(status, code, message, false)
    }

    fn to_json(&self) -> Vec<u8> {
        // Texts only: nothing that JSON can't hold.
        serde_json::to_vec(&Enveloped { error: &self.body }).unwrap_or_default()
    }

    /// As a frame of a stream: SDKs throw when they find it.
    pub(crate) fn write_frame(&self, out: &mut BytesMut) -> io::Result<()> {
        out.put_slice(b"data: ");
        serde_json::to_writer(out.writer(), &Enveloped { error: &self.body })?;
        out.put_slice(b"\n\n");
        Ok(())
    }
}

impl IntoResponse for OpenAiError {
    fn into_response(self) -> Response {
        let json = HeaderValue::from_static("application/json");
        let headers = [(header::CONTENT_TYPE, json), (SHOULD_RETRY, yes_or_no(self.should_retry))];
        (self.status, headers, self.to_json()).into_response()
    }
}

fn kind(status: StatusCode, code: &str) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::TOO_MANY_REQUESTS if code == codes::BUDGET_EXHAUSTED => "insufficient_quota",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    }
}

pub(crate) fn yes_or_no(yes: bool) -> HeaderValue {
    HeaderValue::from_static(if yes { "true" } else { "false" })
}

#[cfg(test)]
mod tests;
