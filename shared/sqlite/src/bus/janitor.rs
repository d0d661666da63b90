//! Deletes messages whose retention is over.

use tracing::{debug, warn};

use parlance_shared::{Lifecycle, port::PortError};

use super::{SqliteBus, millis};

/// Messages looked at in one transaction: bounds how long other writes wait.
const BATCH: i64 = 500;

impl SqliteBus {
    /// Sweeps now and then at intervals, until the lifecycle stops.
    pub async fn run_janitor(self, lifecycle: Lifecycle) {
        while !lifecycle.stopping().is_cancelled() {
            match self.sweep().await {
                Ok(deleted) => debug!(deleted, "swept the bus"),
                Err(error) => warn!(%error, "could not sweep the bus"),
            }
            tokio::select! {
                () = lifecycle.stopping().cancelled() => {}
                () = tokio::time::sleep(self.inner.options.sweep_every) => {}
            }
        }
    }

    /// Deletes the messages that are older than the retention and that no delivery and no dead letter refers to. Gives
    /// their number.
    ///
    /// # Errors
    /// When the database can't be written; what was deleted before stays deleted.
    pub async fn sweep(&self) -> Result<u64, PortError> {
        let before = self.inner.now_millis().saturating_sub(millis(self.inner.options.retention));
        let mut from = (i64::MIN, i64::MIN);
        let mut deleted = 0;
        loop {
            let (in_batch, last) = self.sweep_batch(before, from).await?;
            deleted += in_batch;
            match last {
                Some(last) => from = last,
                None => return Ok(deleted),
            }
        }
    }

    /// One batch after `from`, by time and number; gives where it ended unless it was the last.
    async fn sweep_batch(&self, before: i64, from: (i64, i64)) -> Result<(u64, Option<(i64, i64)>), PortError> {
        let swept = self.inner.database.write(async move |connection| {
            let last = sqlx::query!(
                "SELECT published_at, seq FROM bus_messages
                 WHERE published_at < ?1 AND (published_at, seq) > (?2, ?3)
                 ORDER BY published_at, seq LIMIT 1 OFFSET ?4",
                before,
                from.0,
                from.1,
                BATCH
            )
            .fetch_optional(&mut *connection)
            .await?
            .map(|row| (row.published_at, row.seq));
            let to = last.unwrap_or((before, i64::MIN));
            let deleted = sqlx::query!(
                "DELETE FROM bus_messages
                 WHERE published_at < ?1 AND (published_at, seq) > (?2, ?3) AND (published_at, seq) <= (?4, ?5)
                   AND NOT EXISTS (SELECT 1 FROM bus_subscriptions s CROSS JOIN bus_deliveries d
                                   WHERE d.subscription = s.name AND d.ordering_key = bus_messages.ordering_key
                                     AND d.seq = bus_messages.seq)
                   AND NOT EXISTS (SELECT 1 FROM bus_dead_letters l WHERE l.seq = bus_messages.seq)",
                before,
                from.0,
                from.1,
                to.0,
                to.1
            )
            .execute(connection)
            .await?;
            Ok((deleted.rows_affected(), last))
        });
        swept.await
    }
}
