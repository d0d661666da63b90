//! A reply's text stands twice for a while: with the turn, for cursors and redelivery, and in the durable record. After
//! the retention only the record keeps it; the turn's row stays, so that a replay still finds that the task has ended.

use std::time::Duration;

use sqlx::SqliteConnection;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use parlance_shared::port::PortError;

use super::SqliteTurns;

/// How long text stays with the turn. Longer than the bus keeps messages for replay.
const RETENTION: Duration = Duration::from_secs(8 * 24 * 3600);
const EVERY: Duration = Duration::from_secs(3600);
const BATCH: i64 = 500;

/// Expires old text every hour until the process stops.
pub(super) async fn run(turns: SqliteTurns, stopping: CancellationToken) {
    let mut interval = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            _ = interval.tick() => {}
        }
        if let Err(error) = turns.expire_replies(RETENTION).await {
            warn!(%error, "could not expire old replies");
        }
    }
}

impl SqliteTurns {
    /// Drops the text of turns that ended longer ago than `age` and that the durable record has. Gives their number.
    ///
    /// # Errors
    /// When the database can't be written; what was dropped until then stays dropped.
    pub async fn expire_replies(&self, age: Duration) -> Result<u64, PortError> {
        let before = self.database.clock().now_millis() - i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let mut total = 0;
        loop {
            let job = async move |connection: &mut SqliteConnection| {
                sqlx::query!(
                    "UPDATE turns SET reply = NULL, reply_expired = 1
                     WHERE task_id IN (
                         SELECT turns.task_id FROM turns
                         JOIN tasks ON tasks.id = turns.task_id AND tasks.status = turns.status
                         WHERE turns.finished_at < ? AND turns.reply_expired = 0 AND turns.session_deleted = 0
                         LIMIT ?)",
                    before,
                    BATCH
                )
                .execute(connection)
                .await
            };
            let expired = self.database.write(job).await?.rows_affected();
            total += expired;
            if expired < BATCH as u64 {
                return Ok(total);
            }
        }
    }
}
