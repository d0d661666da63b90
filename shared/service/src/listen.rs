//! The socket that a program listens on.

use std::net::SocketAddr;

use parlance_shared::settings::Settings;
use tokio::net::TcpListener;
use tracing::warn;

use crate::StartError;

/// Files that a process needs for everything but its clients: databases, providers, the bus.
const OTHER_FILES: u64 = 512;

/// How many clients may be connected at once, as far as the limit of open files is concerned.
pub fn most_connections() -> usize {
    let files = rlimit::getrlimit(rlimit::Resource::NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    usize::try_from(files.saturating_sub(OTHER_FILES).max(files / 2)).unwrap_or(usize::MAX)
}

/// Listens on `HOST` and `PORT`; gives the address with the port that was taken.
///
/// # Errors
/// [`StartError::Listen`].
pub async fn listen(settings: &Settings) -> Result<(TcpListener, SocketAddr), StartError> {
    // Each subscriber is a connection: the usual soft limit of 1,024 is soon reached.
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        warn!(%error, "could not raise the limit of open files");
    }
    let address = SocketAddr::new(settings.host, settings.port);
    let refused = |cause| StartError::Listen { address, cause };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    Ok((listener, address))
}
