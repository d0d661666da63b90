//! What Pub/Sub's errors mean for the caller of a port.

use std::error::Error as _;

use google_cloud_gax::error::{Error, rpc::Code};
use google_cloud_pubsub::error::PublishError;
use parlance_shared::port::PortError;

use crate::WHAT;

/// What can be repaired without the data being changed (a quota, a permission, a topic that is missing) may work later.
pub(crate) fn port_error(action: &str, error: &Error) -> PortError {
    let Some(status) = error.status() else {
        return unavailable(format!("{action}: {}", chain(error)));
    };
    let said = &status.message;
    match status.code {
        Code::ResourceExhausted => unavailable(format!("{action}: a quota is exhausted: {said}")),
        Code::PermissionDenied => unavailable(format!("{action}: this service account may not: {said}")),
        Code::Unauthenticated => unavailable(format!("{action}: the credentials are not accepted: {said}")),
        Code::NotFound => {
            unavailable(format!("{action}: it does not exist ('parlance pubsub setup' makes what is missing): {said}"))
        }
        code @ (Code::InvalidArgument
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::AlreadyExists
        | Code::Unimplemented) => rejected(format!("{action}: {code:?}: {said}")),
        code => unavailable(format!("{action}: {code:?}: {said}")),
    }
}

pub(crate) fn publish_error(topic: &str, error: &PublishError) -> PortError {
    match error {
        PublishError::Rpc(error) => port_error(&format!("publishing to {topic}"), error),
        other => unavailable(format!("publishing to {topic}: {other}")),
    }
}

pub(crate) fn code_of(error: &Error) -> Option<Code> {
    error.status().map(|status| status.code)
}

pub(crate) fn unavailable(cause: impl Into<String>) -> PortError {
    PortError::Unavailable { what: WHAT, cause: cause.into() }
}

pub(crate) fn rejected(cause: impl Into<String>) -> PortError {
    PortError::Rejected { what: WHAT, cause: cause.into() }
}

/// An error with its causes: the outermost alone says "transport error".
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}
