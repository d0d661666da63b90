//! How a command ends.

use std::process::ExitCode;

use parlance_shared::port::PortError;

use crate::cli;

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It was asked for something that makes no sense.
    Usage(String),
    /// It can't.
    Failed(String),
}

impl From<PortError> for Stop {
    fn from(error: PortError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// 0 when all was done, 1 when something failed, 2 when it was asked wrongly. `Ok(false)`: some of it failed, and the output
/// says what.
pub(crate) fn code(ended: Result<bool, Stop>) -> ExitCode {
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(Stop::Usage(sentence)) => cli::refuse(&sentence),
        Err(Stop::Failed(sentence)) => cli::fail(&sentence),
    }
}
