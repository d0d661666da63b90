//! Throws away what is no longer needed: partitions of the log, and texts of turns that the durable record has. Only in
//! processes that have had work since the last time, so that an idle one leaves the database alone.

use std::{sync::Arc, time::Duration};

use parlance_shared::{Lifecycle, port::PortError};
use sqlx::PgConnection;
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use tracing::{debug, warn};

use crate::Database;

/// After the first work: soon, since a process that comes and goes with its work must have its turn as well.
const FIRST: Duration = Duration::from_secs(30);
const EVERY: Duration = Duration::from_secs(300);
const REPLIES_EVERY: Duration = Duration::from_secs(3600);
const BATCH: i64 = 500;

/// A worker's janitor.
pub(crate) struct Janitor {
    pub(crate) database: Database,
    pub(crate) keep_replies: Duration,
    /// There was work.
    pub(crate) worked: Arc<Notify>,
}

impl Janitor {
    /// Runs until the process stops.
    pub(crate) async fn run(self, lifecycle: Lifecycle) {
        tokio::select! {
            () = lifecycle.stopping().cancelled() => {}
            () = self.clean_for_ever() => {}
        }
    }

    async fn clean_for_ever(&self) {
        let (mut wait, mut replies_at) = (FIRST, None::<Instant>);
        loop {
            self.worked.notified().await;
            sleep(wait).await;
            wait = EVERY;
            match expire_log(&self.database).await {
                Ok(0) => {}
                Ok(partitions) => debug!(partitions, "emptied old partitions of the reply log"),
                Err(error) => warn!(%error, "could not empty old partitions of the reply log"),
            }
            if replies_at.is_none_or(|at| at.elapsed() >= REPLIES_EVERY) {
                match expire_replies(&self.database, self.keep_replies).await {
                    Ok(_) => replies_at = Some(Instant::now()),
                    Err(error) => warn!(%error, "could not expire old replies"),
                }
            }
        }
    }
}

pub(crate) async fn expire_log(database: &Database) -> Result<i32, PortError> {
    database.run(&(), |connection, ()| Box::pin(empty_partitions(connection))).await
}

async fn empty_partitions(connection: &mut PgConnection) -> sqlx::Result<i32> {
    sqlx::query_scalar!(r#"SELECT parlance_expire_log() AS "emptied!""#).fetch_one(connection).await
}

/// Drops the text of turns that ended longer ago than `age` and that the durable record has; gives their number. One
/// process at a time, in batches that leave rows alone which somebody else has locked.
pub(crate) async fn expire_replies(database: &Database, age: Duration) -> Result<u64, PortError> {
    let mut total = 0;
    loop {
        let expired = database.run(&age, |connection, age| Box::pin(expire_batch(connection, *age))).await?;
        total += expired;
        if expired < BATCH as u64 {
            return Ok(total);
        }
    }
}

async fn expire_batch(connection: &mut PgConnection, age: Duration) -> sqlx::Result<u64> {
    let expired = sqlx::query!(
        "WITH mine AS MATERIALIZED (
             SELECT pg_try_advisory_xact_lock(hashtextextended('parlance_expire_replies', 0)) AS locked)
         UPDATE turns SET reply = NULL, reply_expired = true
         WHERE task_id IN (
             SELECT turns.task_id FROM turns
             JOIN tasks ON tasks.id = turns.task_id AND tasks.status = turns.status
             WHERE (SELECT locked FROM mine) AND turns.finished_at < clock_timestamp() - $1 * interval '1 second'
                 AND NOT turns.reply_expired AND NOT turns.session_deleted
             LIMIT $2
             FOR UPDATE OF turns SKIP LOCKED)",
        age.as_secs_f64(),
        BATCH
    )
    .execute(connection)
    .await?;
    Ok(expired.rows_affected())
}
