//! The owner's wish to stop, stored before it is answered.
//!
//! A task that no worker has had ends here and now. One that a worker has is ended by that worker, or, if it died, by
//! the next one that the bus gives the message to.

use chrono::{DateTime, Utc};
use sqlx::SqliteConnection;

use parlance_shared::{
    SessionId, TaskId, UserId,
    port::{PortError, turns::CancelOutcome},
    task::Task,
};

use super::{SqliteTurns, row};

pub(super) async fn request_cancel(
    turns: &SqliteTurns,
    user: UserId,
    task: TaskId,
) -> Result<CancelOutcome, PortError> {
    let now = turns.database.clock().now_millis();
    let (hub, owner) = (turns.hub.clone(), user.clone());
    let job = async move |connection: &mut SqliteConnection| {
        let id = task.to_string();
        let owner = user.as_str();
        // What the durable record knows of it already is taken over; the rest is told by the worker that gets it later.
        // A wish of the owner that finds the task ended, or asked to stop before, changes nothing.
        sqlx::query!(
            "INSERT INTO turns (task_id, user_id, status, attempt, reply, cancel_requested_at, finished_at, session_id,
                                message_id, reply_message_id, accepted_at, fingerprint)
             SELECT ?1, ?2, 'cancelled', 0, '', ?3, ?3, t.session_id, t.message_id, t.reply_message_id, t.accepted_at,
                    t.fingerprint
             FROM (SELECT 1) LEFT JOIN tasks AS t ON t.id = ?1 AND t.user_id = ?2
             WHERE true
             ON CONFLICT (task_id) DO UPDATE SET cancel_requested_at = excluded.cancel_requested_at
             WHERE user_id = excluded.user_id AND finished_at IS NULL AND cancel_requested_at IS NULL",
            id,
            owner,
            now
        )
        .execute(&mut *connection)
        .await?;
        let row = row::load(connection, task).await?.ok_or(sqlx::Error::RowNotFound)?;
        Ok(match () {
            () if !row.is_of(&user) => CancelOutcome::UnknownTask,
            () if row.has_ended() => CancelOutcome::Ended(Box::new(row.task(task)?)),
            () => CancelOutcome::Requested,
        })
    };
    turns
        .database
        .write_then(job, move |outcome| {
            let Some(live) = hub.find(task) else { return };
            match outcome {
                CancelOutcome::Requested => live.cancelled().cancel(),
                CancelOutcome::Ended(ended) if ended.attempt == 0 => live.end(owner, Task::clone(ended), false),
                CancelOutcome::Ended(_) | CancelOutcome::UnknownTask => {}
            }
        })
        .await
}

pub(super) async fn interrupt(
    turns: &SqliteTurns,
    user: UserId,
    session: SessionId,
    by: TaskId,
    before: DateTime<Utc>,
) -> Result<DateTime<Utc>, PortError> {
    let now = turns.database.clock().now_millis();
    let hub = turns.hub.clone();
    let job = async move |connection: &mut SqliteConnection| {
        let (session, user, by) = (session.to_string(), user.as_str(), by.to_string());
        let before = before.timestamp_millis();
        let marked = sqlx::query_scalar!(
            r#"INSERT INTO checkpoints (session_id, user_id, version, checkpoint, saved_at, interrupted_before, interrupted_by)
               VALUES (?, ?, 0, '{}', ?, ?, ?)
               ON CONFLICT (session_id) DO UPDATE
               SET interrupted_before = iif(interrupted_by = excluded.interrupted_by, interrupted_before,
                       max(coalesce(interrupted_before, 0), excluded.interrupted_before)),
                   interrupted_by = excluded.interrupted_by
               WHERE user_id = excluded.user_id
               RETURNING interrupted_before AS "before!""#,
            session,
            user,
            now,
            before,
            by
        )
        .fetch_optional(&mut *connection)
        .await?;
        // Another user's session: nothing is this user's to stop.
        let Some(before) = marked else { return Ok((before, Vec::new())) };
        let cancelled = sqlx::query_scalar!(
            "UPDATE turns SET cancel_requested_at = ?
             WHERE session_id = ? AND user_id = ? AND finished_at IS NULL AND cancel_requested_at IS NULL
                 AND accepted_at < ?
             RETURNING task_id",
            now,
            session,
            user,
            before
        )
        .fetch_all(connection)
        .await?;
        Ok((before, cancelled))
    };
    let (before, _) = turns
        .database
        .write_then(job, move |(_, cancelled): &(i64, Vec<String>)| {
            for task in cancelled.iter().filter_map(|id| id.parse().ok()) {
                if let Some(live) = hub.find(task) {
                    live.cancelled().cancel();
                }
            }
        })
        .await?;
    Ok(DateTime::from_timestamp_millis(before).unwrap_or_default())
}

pub(super) async fn delete_session(turns: &SqliteTurns, user: UserId, session: SessionId) -> Result<(), PortError> {
    let now = turns.database.clock().now_millis();
    let hub = turns.hub.clone();
    let job = async move |connection: &mut SqliteConnection| delete_in(connection, &user, session, now).await;
    turns.database.write_then(job, move |open| hub.cancel_all(open)).await?;
    Ok(())
}

/// Deletes within the caller's transaction; gives the turns that are to stop.
pub(crate) async fn delete_in(
    connection: &mut SqliteConnection,
    user: &UserId,
    session: SessionId,
    now: i64,
) -> sqlx::Result<Vec<TaskId>> {
    let (session, user) = (session.to_string(), user.as_str());
    sqlx::query!(
        "INSERT INTO checkpoints (session_id, user_id, version, checkpoint, deleted, saved_at)
         VALUES (?, ?, 1, '{}', 1, ?)
         ON CONFLICT (session_id) DO UPDATE SET version = version + 1, checkpoint = '{}', deleted = 1
         WHERE user_id = excluded.user_id",
        session,
        user,
        now
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "DELETE FROM reply_log WHERE task_id IN (SELECT task_id FROM turns WHERE session_id = ? AND user_id = ?)",
        session,
        user
    )
    .execute(&mut *connection)
    .await?;
    let open = sqlx::query_scalar!(
        "UPDATE turns
         SET session_deleted = 1, cancel_requested_at = coalesce(cancel_requested_at, ?),
             reply = CASE WHEN finished_at IS NULL THEN reply ELSE '' END, reply_expired = 0, details = NULL, fingerprint = NULL,
             error_message = CASE WHEN error_code IS NULL THEN NULL ELSE '' END
         WHERE session_id = ? AND user_id = ?
         RETURNING CASE WHEN finished_at IS NULL THEN task_id END AS 'open?: String'",
        now,
        session,
        user
    )
    .fetch_all(connection)
    .await?;
    Ok(open.into_iter().flatten().filter_map(|id| id.parse().ok()).collect())
}
