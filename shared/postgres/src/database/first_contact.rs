//! What is worth a warning about the server, looked at once per process.

use std::{sync::atomic::Ordering, time::Duration};

use sqlx::PgConnection;
use tracing::{debug, warn};

use super::Database;

/// Beyond this part of the server's connections, two or three processes of the kind lock out everybody else.
const FAIR_SHARE: i64 = 4;
const PATIENCE: Duration = Duration::from_secs(2);

impl Database {
    /// Warns of a pool that the server has no room for.
    pub(super) async fn greet(&self, connection: &mut PgConnection) {
        if self.greeted.swap(true, Ordering::AcqRel) {
            return;
        }
        // What the server says of itself, no table of ours.
        let limit = sqlx::query_scalar::<_, i64>(
            "SELECT current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint",
        )
        .fetch_one(connection);
        match tokio::time::timeout(PATIENCE, limit).await {
            Ok(Ok(limit)) if is_unfair(self.settings.pool_size, limit) => warn!(
                db.pool_size = self.settings.pool_size,
                db.server_connections = limit,
                "DB_POOL_SIZE is more than a quarter of the server's connections: with several instances they will not do"
            ),
            Ok(Ok(_)) => {}
            // Whatever it is, the work that follows will tell.
            Ok(Err(error)) => debug!(%error, "the server does not say how many connections it allows"),
            Err(_) => debug!("the server does not say in time how many connections it allows"),
        }
    }
}

fn is_unfair(pool_size: u32, limit: i64) -> bool {
    i64::from(pool_size) * FAIR_SHARE > limit
}

#[cfg(test)]
mod tests {
    use super::is_unfair;

    #[test]
    fn a_quarter_is_fair() {
        assert!(!is_unfair(8, 97) && !is_unfair(24, 97));
        assert!(is_unfair(25, 97) && is_unfair(8, 22));
    }
}
