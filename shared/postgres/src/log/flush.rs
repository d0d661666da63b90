//! The one statement of a flush: the segment, its notification, and the rows for resume.

use std::{collections::HashSet, time::Duration};

use parlance_shared::{TaskId, port::PortError};
use sqlx::PgConnection;
use tokio::time::Instant;
use uuid::Uuid;

use super::{facts::LOG_CHANNEL, outbox::Batch};
use crate::{Database, database::unavailable};

/// A flush that takes longer has lost its connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// A connection that was not used for so long is asked first whether it still works.
const IDLE: Duration = Duration::from_secs(30);
const PING: Duration = Duration::from_millis(500);

/// Commits don't wait for the disk, and plans don't depend on what the statistics say of tables that fill and empty.
const SESSION: [(&str, &str); 4] =
    [("synchronous_commit", "off"), ("enable_seqscan", "off"), ("enable_hashjoin", "off"), ("enable_mergejoin", "off")];

/// One connection of a worker: a writer of its own to readers, with a count of its own.
pub(super) struct Link {
    connection: PgConnection,
    writer: Uuid,
    flush_no: i64,
    used: Instant,
}

/// An attempt whose row was refused: it is no longer the task's latest, or not held by this worker.
pub(super) type Fenced = (TaskId, u32);

impl Link {
    pub(super) async fn open(database: &Database) -> Result<Self, PortError> {
        let connection = database.dedicated(&SESSION).await?;
        Ok(Self { connection, writer: Uuid::new_v4(), flush_no: 0, used: Instant::now() })
    }

    /// Whether the next flush can be expected to work.
    pub(super) async fn is_alive(&mut self) -> bool {
        use sqlx::Connection as _;
        self.used.elapsed() < IDLE || matches!(tokio::time::timeout(PING, self.connection.ping()).await, Ok(Ok(())))
    }

    /// Commits the batch.
    ///
    /// # Errors
    /// Whether it was committed is unknown then; the link is of no use any more.
    pub(super) async fn write(&mut self, batch: &mut Batch) -> Result<Vec<Fenced>, PortError> {
        let segment = std::mem::take(&mut batch.segment);
        batch.was_written = !segment.is_empty() || !batch.rows.is_empty();
        let writing = async {
            match (segment.is_empty(), batch.rows.is_empty()) {
                (true, true) => Ok(Vec::new()),
                (false, true) => self.write_segment(segment.encode()).await.map(|()| Vec::new()),
                (_, false) => self.write_both(segment.encode(), batch).await,
            }
        };
        let written = tokio::time::timeout(PATIENCE, writing).await;
        self.used = Instant::now();
        match written {
            Ok(written) => written.map_err(crate::database::port_error),
            Err(_) => Err(unavailable(format!("a flush was not answered within {} s", PATIENCE.as_secs()))),
        }
    }

    async fn write_segment(&mut self, payload: Vec<u8>) -> sqlx::Result<()> {
        self.flush_no += 1;
        sqlx::query!(
            r#"WITH segment AS (
                   INSERT INTO reply_segments (slot, writer, flush_no, written_at, payload)
                   SELECT parlance_segment_slot(present.at), $1, $2, present.at, $3
                   FROM (SELECT clock_timestamp() AS at) AS present
                   RETURNING writer, flush_no, slot)
               SELECT pg_notify($4, writer || ' ' || flush_no || ' ' || slot)::text AS told FROM segment"#,
            self.writer,
            self.flush_no,
            payload,
            LOG_CHANNEL
        )
        .fetch_one(&mut self.connection)
        .await?;
        Ok(())
    }

    /// A row names its attempt, so one that is written while the turn passes on harms nobody: its readers are those of
    /// that attempt. The join keeps a worker that hangs from writing for ever, and tells it.
    async fn write_both(&mut self, payload: Vec<u8>, batch: &Batch) -> sqlx::Result<Vec<Fenced>> {
        self.flush_no += 1;
        let (mut tasks, mut attempts, mut workers) = (Vec::new(), Vec::new(), Vec::new());
        let (mut starts, mut texts): (Vec<i64>, Vec<&[u8]>) = (Vec::new(), Vec::new());
        for (stream, unstored) in &batch.rows {
            tasks.push(stream.task.to_string());
            attempts.push(i64::from(stream.attempt));
            workers.push(stream.worker.0.clone());
            starts.push(i64::try_from(unstored.start).unwrap_or(i64::MAX));
            texts.push(unstored.text.as_bytes());
        }
        let stored = sqlx::query!(
            r#"WITH present AS MATERIALIZED (SELECT clock_timestamp() AS at),
               segment AS (
                   INSERT INTO reply_segments (slot, writer, flush_no, written_at, payload)
                   SELECT parlance_segment_slot(present.at), $1, $2, present.at, $3 FROM present
                   RETURNING writer, flush_no, slot),
               told AS MATERIALIZED (
                   SELECT pg_notify($4, writer || ' ' || flush_no || ' ' || slot)::text AS done FROM segment),
               stored AS (
                   INSERT INTO reply_log (slot, task_id, attempt, start, text)
                   SELECT parlance_log_slot(present.at), piece.task_id, piece.attempt, piece.start, piece.text
                   FROM present, unnest($5::text[], $6::bigint[], $7::text[], $8::bigint[], $9::bytea[])
                       AS piece (task_id, attempt, worker, start, text)
                   JOIN turns ON turns.task_id = piece.task_id AND turns.attempt = piece.attempt
                       AND turns.worker = piece.worker AND turns.finished_at IS NULL AND NOT turns.session_deleted
                   RETURNING task_id, attempt)
               SELECT told.done, stored.task_id AS "task_id?", stored.attempt AS "attempt?"
               FROM told LEFT JOIN stored ON true"#,
            self.writer,
            self.flush_no,
            payload,
            LOG_CHANNEL,
            &tasks,
            &attempts,
            &workers,
            &starts,
            &texts as &[&[u8]]
        )
        .fetch_all(&mut self.connection)
        .await?;
        let stored: HashSet<(String, i64)> =
            stored.into_iter().filter_map(|row| Some((row.task_id?, row.attempt?))).collect();
        let refused = tasks.into_iter().zip(attempts).zip(&batch.rows).filter(|(key, _)| !stored.contains(key));
        Ok(refused.map(|(_, (stream, _))| (stream.task, stream.attempt)).collect())
    }
}
