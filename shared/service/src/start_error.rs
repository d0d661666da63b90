//! Why a program can't start: one sentence each.

use std::{io, net::SocketAddr};

use parlance_llm::ChooseError;
use parlance_shared::port::PortError;

/// Why a program can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken, or not ours.
    #[error("can't listen on {address}: {cause}{}", listen_hint(cause))]
    Listen {
        /// `HOST` and `PORT`.
        address: SocketAddr,
        /// What the system says.
        cause: io::Error,
    },
    /// No provider can be set up.
    #[error(transparent)]
    Llm(#[from] ChooseError),
    /// An adapter failed at once.
    #[error(transparent)]
    Port(#[from] PortError),
    /// Signals can't be heard.
    #[error("can't listen for signals: {0}")]
    Signals(io::Error),
    /// A setting that only the part it is for can judge.
    #[error("{name}: {problem}")]
    Setting {
        /// The variable.
        name: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// What a setting points at can't be used.
    #[error("{0}")]
    Unusable(String),
}

fn listen_hint(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::AddrInUse => "; stop the program that uses it, or set PORT to another one",
        io::ErrorKind::PermissionDenied => "; set PORT to 1024 or above",
        _ => "",
    }
}
