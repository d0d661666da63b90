//! Deletes what has grown old, once an hour, in small steps. Where several processes run this, one at a time is at it.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tracing::{info, warn};

use crate::{
    Clock, Lifecycle,
    metrics::Metrics,
    port::{
        PortError,
        audit::KEEP_AUDIT,
        users::{KEEP_MARKS, Retention},
    },
};

const EVERY: Duration = Duration::from_secs(3600);
/// Between two steps, for whoever waits for the database.
const PAUSE: Duration = Duration::from_millis(20);
/// The longest that one step may take. Dropping it is safe: it is one transaction.
const STEP: Duration = Duration::from_secs(30);

/// What is deleted, and where.
pub struct Janitor {
    /// What holds it.
    pub retention: Arc<dyn Retention>,
    /// `RETENTION_DAYS`: sessions in which nothing has happened for so long are deleted; none are if it is absent.
    pub keep_sessions: Option<Duration>,
    /// Wall-clock time.
    pub clock: Clock,
    /// Counts what was deleted.
    pub metrics: Arc<Metrics>,
}

impl Janitor {
    /// Sweeps at the start and every hour, until the process stops.
    pub async fn run(self, lifecycle: Lifecycle) {
        let sweeping = async {
            loop {
                if let Err(error) = self.sweep().await {
                    warn!(%error, "could not delete all old sessions: the next sweep goes on");
                }
                tokio::time::sleep(EVERY).await;
            }
        };
        tokio::select! {
            () = lifecycle.stopping().cancelled() => {}
            () = sweeping => {}
        }
    }

    /// Deletes what is old by now; gives the number of sessions.
    ///
    /// # Errors
    /// When the database can't be written; what was deleted until then stays so.
    pub async fn sweep(&self) -> Result<u64, PortError> {
        in_time(self.retention.forget_erased(self.before(KEEP_MARKS))).await?;
        in_time(self.retention.forget_audit(self.before(KEEP_AUDIT))).await?;
        let Some(age) = self.keep_sessions else { return Ok(0) };
        let before = self.before(age);
        let mut total = 0;
        while let Some(sessions @ 1..) = in_time(self.retention.delete_aged(before)).await? {
            total += sessions;
            self.metrics.sessions_expired.inc_by(sessions);
            tokio::time::sleep(PAUSE).await;
        }
        if total > 0 {
            info!(sessions = total, days = age.as_secs() / (24 * 3600), "deleted sessions whose retention was over");
        }
        Ok(total)
    }

    fn before(&self, age: Duration) -> DateTime<Utc> {
        self.clock.now() - age
    }
}

async fn in_time<T>(step: impl Future<Output = Result<T, PortError>>) -> Result<T, PortError> {
    tokio::time::timeout(STEP, step).await.unwrap_or_else(|_| {
        Err(PortError::Unavailable { what: "the database", cause: format!("no answer within {} s", STEP.as_secs()) })
    })
}
