//! The times of a stop. Together they stay below the 10 s that Cloud Run and most supervisors give.

use std::time::Duration;

use parlance_shared::Lifecycle;

/// Replies that take longer than this after the signal are handed back to the bus.
pub const GRACE: Duration = Duration::from_secs(6);
/// For handing back, and for streams to say goodbye.
pub const LAST: Duration = Duration::from_secs(2);
/// For what is closed last, such as a database.
pub const CLOSE: Duration = Duration::from_millis(1500);

/// Stops what runs; false when something had to be left as it was. Nothing is lost by that.
pub async fn stop(lifecycle: &Lifecycle) -> bool {
    lifecycle.stop(GRACE, LAST).await
}
