//! The owner's wish to stop, stored before it is answered.
//!
//! A task that no worker has had ends here and now. One that a worker has is ended by that worker, who is told with the
//! commit, or, if it died, by the next one that the bus gives the message to.

use chrono::{DateTime, SubsecRound as _, Utc};
use parlance_shared::{
    SessionId, TaskId, UserId,
    port::{PortError, turns::CancelOutcome},
};
use sqlx::{Connection as _, PgConnection};

use super::{PostgresTurns, notice::send, row};
use crate::{log::Notice, text::to_sql};

pub(super) async fn request_cancel(
    turns: &PostgresTurns,
    user: &UserId,
    task: TaskId,
) -> Result<CancelOutcome, PortError> {
    turns.database.run(&(user, task), |connection, (user, task)| Box::pin(cancel(connection, user, *task))).await
}

async fn cancel(connection: &mut PgConnection, user: &UserId, task: TaskId) -> sqlx::Result<CancelOutcome> {
    let mut transaction = connection.begin().await?;
    let outcome = record_cancel(&mut transaction, user, task).await?;
    let notice = match &outcome {
        CancelOutcome::Requested => Some(Notice::Cancel(task)),
        CancelOutcome::Ended(ended) if ended.attempt == 0 => Some(Notice::Changed(task)),
        CancelOutcome::Ended(_) | CancelOutcome::UnknownTask => None,
    };
    send(&mut transaction, notice.as_slice()).await?;
    transaction.commit().await?;
    Ok(outcome)
}

async fn record_cancel(connection: &mut PgConnection, user: &UserId, task: TaskId) -> sqlx::Result<CancelOutcome> {
    // What the durable record knows of it already is taken over; the rest is told by the worker that gets it later.
    // A wish of the owner that finds the task ended, or asked to stop before, changes nothing.
    sqlx::query!(
        "INSERT INTO turns AS stored (task_id, user_id, status, attempt, reply, cancel_requested_at, finished_at, session_id,
                                      message_id, reply_message_id, accepted_at, fingerprint)
         SELECT $1, $2, 'cancelled', 0, '', present.at, present.at, tasks.session_id, tasks.message_id,
                tasks.reply_message_id, tasks.accepted_at, tasks.fingerprint
         FROM (SELECT clock_timestamp() AS at) AS present LEFT JOIN tasks ON tasks.id = $1 AND tasks.user_id = $2
         ON CONFLICT (task_id) DO UPDATE SET cancel_requested_at = excluded.cancel_requested_at
         WHERE stored.user_id = excluded.user_id AND stored.finished_at IS NULL AND stored.cancel_requested_at IS NULL",
        task.to_string(),
        &to_sql(user.as_str())
    )
    .execute(&mut *connection)
    .await?;
    let mut row = row::load(connection, task).await?.ok_or(sqlx::Error::RowNotFound)?;
    Ok(match () {
        () if !row.is_of(user) => CancelOutcome::UnknownTask,
        () if row.has_ended() => CancelOutcome::Ended(Box::new(row.take_task(task)?)),
        () => CancelOutcome::Requested,
    })
}

/// The mark is committed first: a turn that is claimed later sees it, one that was claimed before is told here. A claim that
/// came in between without seeing it learns of it from its first heartbeat.
pub(super) async fn interrupt(
    turns: &PostgresTurns,
    user: &UserId,
    session: SessionId,
    by: TaskId,
    before: DateTime<Utc>,
) -> Result<DateTime<Utc>, PortError> {
    let input = (user, session.to_string(), by.to_string(), before.trunc_subsecs(3));
    let marked = turns.database.run(&input, |connection, (user, session, by, before)| {
        Box::pin(mark_interrupted(connection, user, session, by, *before))
    });
    // Another user's session: nothing is this user's to stop.
    let Some(before) = marked.await? else { return Ok(before) };
    let input = (user, session.to_string(), before);
    turns
        .database
        .run(&input, |connection, (user, session, before)| Box::pin(cancel_earlier(connection, user, session, *before)))
        .await?;
    Ok(before)
}

async fn mark_interrupted(
    connection: &mut PgConnection,
    user: &UserId,
    session: &str,
    by: &str,
    before: DateTime<Utc>,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!(
        r#"INSERT INTO checkpoints AS stored (session_id, user_id, version, checkpoint, saved_at, interrupted_before,
               interrupted_by)
           VALUES ($1, $2, 0, '{}', clock_timestamp(), $3, $4)
           ON CONFLICT (session_id) DO UPDATE
           SET interrupted_before = CASE WHEN stored.interrupted_by = excluded.interrupted_by
                   THEN stored.interrupted_before
                   ELSE greatest(stored.interrupted_before, excluded.interrupted_before) END,
               interrupted_by = excluded.interrupted_by
           WHERE stored.user_id = excluded.user_id
           RETURNING interrupted_before AS "before!""#,
        session,
        &to_sql(user.as_str()),
        before,
        by
    )
    .fetch_optional(connection)
    .await
}

async fn cancel_earlier(
    connection: &mut PgConnection,
    user: &UserId,
    session: &str,
    before: DateTime<Utc>,
) -> sqlx::Result<()> {
    let mut transaction = connection.begin().await?;
    let cancelled = sqlx::query_scalar!(
        "UPDATE turns SET cancel_requested_at = clock_timestamp()
         WHERE session_id = $1 AND user_id = $2 AND finished_at IS NULL AND cancel_requested_at IS NULL
             AND accepted_at < $3
         RETURNING task_id",
        session,
        &to_sql(user.as_str()),
        before
    )
    .fetch_all(&mut *transaction)
    .await?;
    let notices: Vec<Notice> = cancelled.iter().filter_map(|task| task.parse().ok()).map(Notice::Cancel).collect();
    send(&mut transaction, &notices).await?;
    transaction.commit().await
}

/// The turns first, then the checkpoint, as the end of a turn does: so neither waits for the other.
pub(super) async fn delete_session(turns: &PostgresTurns, user: &UserId, session: SessionId) -> Result<(), PortError> {
    let input = (user, session.to_string());
    turns.database.run(&input, |connection, (user, session)| Box::pin(delete(connection, user, session))).await
}

async fn delete(connection: &mut PgConnection, user: &UserId, session: &str) -> sqlx::Result<()> {
    let mut transaction = connection.begin().await?;
    delete_in(&mut transaction, user, session).await?;
    transaction.commit().await
}

/// Deletes within the caller's transaction.
pub(crate) async fn delete_in(connection: &mut PgConnection, user: &UserId, session: &str) -> sqlx::Result<()> {
    let user = to_sql(user.as_str());
    let touched = sqlx::query!(
        r#"UPDATE turns
           SET session_deleted = true, cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp()),
               reply = CASE WHEN finished_at IS NULL THEN reply ELSE '' END, reply_expired = false, details = NULL, fingerprint = NULL,
               error_message = CASE WHEN error_code IS NULL THEN NULL ELSE '' END
           WHERE session_id = $1 AND user_id = $2
           RETURNING task_id, finished_at IS NULL AS "is_open!""#,
        session,
        &user
    )
    .fetch_all(&mut *connection)
    .await?;
    let tasks: Vec<String> = touched.iter().map(|row| row.task_id.clone()).collect();
    sqlx::query!("DELETE FROM reply_log WHERE task_id = ANY($1)", &tasks).execute(&mut *connection).await?;
    sqlx::query!(
        "INSERT INTO checkpoints AS stored (session_id, user_id, version, checkpoint, deleted, saved_at)
         VALUES ($1, $2, 1, '{}', true, clock_timestamp())
         ON CONFLICT (session_id) DO UPDATE SET version = stored.version + 1, checkpoint = '{}', deleted = true
         WHERE stored.user_id = excluded.user_id",
        session,
        &user
    )
    .execute(&mut *connection)
    .await?;
    let open = touched.iter().filter(|row| row.is_open).filter_map(|row| row.task_id.parse().ok());
    let notices: Vec<Notice> = open.map(Notice::Cancel).collect();
    send(connection, &notices).await
}
