//! Why a turn stopped without an end of its task.

use parlance_shared::port::{PortError, reply_log::AppendError, turns::ClaimError};

/// Someone will have to take the task again.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The claim was lost: another attempt may be under way. Nothing more may be said.
    Lost,
    /// The process must go.
    Aborted,
    /// A port failed for longer than our patience, or for good.
    Port(PortError),
}

impl From<PortError> for Stop {
    fn from(error: PortError) -> Self {
        Self::Port(error)
    }
}

impl From<ClaimError> for Stop {
    fn from(error: ClaimError) -> Self {
        match error {
            ClaimError::Fenced => Self::Lost,
            ClaimError::StaleCheckpoint => {
                Self::Port(PortError::Unavailable { what: "checkpoint", cause: "it changed over and over".into() })
            }
            ClaimError::Port(error) => Self::Port(error),
        }
    }
}

impl From<AppendError> for Stop {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Fenced => Self::Lost,
            AppendError::Port(error) => Self::Port(error),
        }
    }
}
