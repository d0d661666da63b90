//! What tells the process to stop.

use std::{future::Future, io};

use tokio::signal::unix::{SignalKind, signal};

/// Listens from now on; the future ends at the first SIGTERM or SIGINT.
///
/// # Errors
/// When the system lets nobody listen.
pub fn listen() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
