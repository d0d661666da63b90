//! The socket that a program listens on.

use std::net::SocketAddr;

use parlance_shared::settings::Settings;
use tokio::net::TcpListener;
use tracing::warn;

use crate::StartError;

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
