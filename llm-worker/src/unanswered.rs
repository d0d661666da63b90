//! What becomes of an event whose work can't be done now: nobody waits for a summary or a heading, so it is tried again for
//! as long as the bus keeps it, less and less often.

use parlance_shared::port::{
    PortError,
    bus::{Outcome, Reason},
    llm::LlmError,
};

/// The provider failed, or refused: with later turns, or other settings, it may not. What it said is not repeated: it may
/// quote the conversation.
pub(crate) fn try_again(code: &str, error: &LlmError) -> Outcome {
    let reason = Reason::new(code, format!("{} ({})", error.kind.sentence(), error.kind.code()));
    Outcome::Retry { after: error.retry_after, reason }
}

/// The store or the bus failed.
pub(crate) fn port_trouble(what: &str, error: &PortError) -> Outcome {
    match error {
        PortError::Rejected { .. } => Outcome::Fail(Reason::new(format!("{what}_rejected"), error.to_string())),
        _ => Outcome::Retry { after: None, reason: Reason::new("port_unavailable", error.to_string()) },
    }
}
