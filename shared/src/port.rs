//! The ports: what services need of the world, and what each adapter must keep. One conformance suite per port runs on
//! every adapter (`shared/conformance`).

pub mod audit;
pub mod bus;
pub mod circuits;
pub mod keys;
pub mod llm;
pub mod reply_log;
pub mod store;
pub mod turns;
pub mod users;

/// Why an adapter could not do its work. What a caller may do about it is in the variant; the cause is for the log only.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Not reachable, busy or timed out: the same call may work later.
    #[error("{what} is unavailable: {cause}")]
    Unavailable {
        /// The part that failed, in a word.
        what: &'static str,
        /// For the log.
        cause: String,
    },
    /// There is no room to write.
    #[error("{what} is full: {cause}")]
    Full {
        /// The part that failed, in a word.
        what: &'static str,
        /// For the log.
        cause: String,
    },
    /// Repeating the call can't help: stored or given data break a rule.
    #[error("{what} refused the data: {cause}")]
    Rejected {
        /// The part that failed, in a word.
        what: &'static str,
        /// For the log.
        cause: String,
    },
}

impl PortError {
    /// Whether the same call may work later.
    pub fn is_transient(&self) -> bool {
        !matches!(self, Self::Rejected { .. })
    }
}
