//! Reads a push's body, no more and no longer than the limits say.
//!
//! Not an extractor's limit: an extractor that does not ask for it, such as the CloudEvents SDK's, is not bound by it.

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::LengthLimitError;
use tokio::time::timeout;

use crate::{
    problem::{Code, Problem},
    worker_http::Limits,
};

/// The whole body.
pub(crate) async fn read_body(headers: &HeaderMap, body: Body, limits: &Limits) -> Result<Bytes, Problem> {
    let limit = limits.body_bytes;
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(too_large(limit));
    }
    match timeout(limits.body_timeout, to_bytes(body, limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_too_large(&error) => Err(too_large(limit)),
        Ok(Err(error)) => {
            Err(Problem::new(Code::BodyCut, "The body ended before its end.").caused_by(error.to_string()))
        }
        Err(_) => Err(Problem::new(Code::RequestTimeout, "The body was not complete in time.")),
    }
}

fn too_large(limit: usize) -> Problem {
    Problem::new(Code::BodyTooLarge, format!("A push has at most {limit} bytes."))
}

fn is_too_large(error: &axum::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.is::<LengthLimitError>() {
            return true;
        }
        source = cause.source();
    }
    false
}
