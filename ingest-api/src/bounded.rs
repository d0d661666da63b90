//! Every call to a port has an end.

use std::time::Duration;

use parlance_shared::port::PortError;

/// Waits for a port no longer than `limit`; a port that is late counts as unavailable.
pub(crate) async fn bounded<T>(
    limit: Duration,
    what: &'static str,
    call: impl Future<Output = Result<T, PortError>>,
) -> Result<T, PortError> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer,
        Err(_) => Err(PortError::Unavailable { what, cause: format!("no answer within {limit:?}") }),
    }
}
