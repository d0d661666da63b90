//! One step of an erasure: some sessions with all that belongs to them, in one transaction.
//!
//! A turn that a worker has is told to stop and keeps its row's owner until it has ended, or its lease has run out; a later
//! step, which finds it by that, erases what the end has written.

use chrono::{DateTime, Utc};
use parlance_shared::{TaskId, port::users::EraseStep};
use sqlx::{Connection as _, PgConnection};

use super::marks;
use crate::{log::Notice, turns::send};

/// Sessions of one transaction: bounds how long others wait for their locks.
const BATCH: i64 = 4;

#[derive(Default)]
pub(super) struct Stepped {
    report: EraseStep,
    notices: Vec<Notice>,
}

pub(super) async fn step(
    connection: &mut PgConnection,
    user: &str,
    key: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<EraseStep> {
    let mut transaction = connection.begin().await?;
    let mut stepped = Stepped::default();
    // First: what arrives from now on finds it.
    marks::mark(&mut transaction, key, now).await?;
    let sessions = sessions(&mut transaction, user).await?;
    for session in &sessions {
        erase_session(&mut transaction, user, session, now, &mut stepped).await?;
    }
    if sessions.is_empty() {
        // Turns of which only the owner's wish to cancel is known.
        reduce_turns(&mut transaction, user, None, &mut stepped).await?;
        let running = sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM turns WHERE user_id = $1"#, user);
        let running = running.fetch_one(&mut *transaction).await?;
        stepped.report.running = u64::try_from(running).unwrap_or_default();
        if stepped.report.running == 0 {
            sqlx::query!("DELETE FROM hidden_responses WHERE user_id = $1", user).execute(&mut *transaction).await?;
            delete_beside(&mut transaction, user).await?;
            sqlx::query!("DELETE FROM users WHERE id = $1", user).execute(&mut *transaction).await?;
            stepped.report.done = true;
        }
    }
    send(&mut transaction, &stepped.notices).await?;
    transaction.commit().await?;
    Ok(stepped.report)
}

/// What hangs on no session. Keys, only with a login that may delete them: a service's may not, and they are counted as left.
async fn delete_beside(connection: &mut PgConnection, user: &str) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM hidden_responses WHERE user_id = $1", user).execute(&mut *connection).await?;
    let may_delete = sqlx::query_scalar!(r#"SELECT has_table_privilege(current_user, 'api_keys', 'DELETE') AS "may!""#);
    if may_delete.fetch_one(&mut *connection).await? {
        sqlx::query!("DELETE FROM api_keys WHERE user_id = $1", user).execute(connection).await?;
    }
    Ok(())
}

/// Those that still bear the user's name, but for the turns that are waited for.
async fn sessions(connection: &mut PgConnection, user: &str) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"SELECT id AS "id!" FROM (
               (SELECT id FROM sessions WHERE user_id = $1 ORDER BY id LIMIT $2)
               UNION (SELECT session_id FROM checkpoints WHERE user_id = $1 ORDER BY session_id LIMIT $2)
               UNION (SELECT session_id FROM turns AS t
               WHERE user_id = $1 AND session_id IS NOT NULL AND (
                   finished_at IS NOT NULL OR worker IS NULL OR leased_until IS NULL OR leased_until <= clock_timestamp()
                   OR NOT EXISTS (SELECT FROM sessions AS s WHERE s.id = t.session_id AND s.user_id = ''))
               ORDER BY session_id LIMIT $2)
           ) AS theirs ORDER BY 1 LIMIT $2"#,
        user,
        BATCH
    )
    .fetch_all(connection)
    .await
}

pub(super) async fn erase_session(
    connection: &mut PgConnection,
    user: &str,
    session: &str,
    now: DateTime<Utc>,
    stepped: &mut Stepped,
) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE FROM reply_log WHERE task_id = ANY(ARRAY(SELECT task_id FROM turns WHERE session_id = $1 AND user_id = $2))",
        session,
        user
    )
    .execute(&mut *connection)
    .await?;
    reduce_turns(connection, user, Some(session), stepped).await?;
    sqlx::query!(
        "INSERT INTO checkpoints AS stored (session_id, user_id, version, checkpoint, deleted, saved_at)
         VALUES ($1, '', 1, '{}', true, $3)
         ON CONFLICT (session_id) DO UPDATE
         SET user_id = '', version = stored.version + 1, checkpoint = '{}', deleted = true, saved_at = $3,
             interrupted_before = NULL, interrupted_by = NULL
         WHERE stored.user_id = $2",
        session,
        user,
        now
    )
    .execute(&mut *connection)
    .await?;
    let buried = sqlx::query!(
        "INSERT INTO sessions AS s (id, user_id, created_at, updated_at, deleted_at) VALUES ($1, '', $3, $3, $3)
         ON CONFLICT (id) DO UPDATE
         SET user_id = '', created_at = $3, updated_at = $3, deleted_at = $3, heading = NULL, heading_rev = NULL,
             instructions = NULL, instructions_rev = NULL, metadata = NULL, metadata_rev = NULL,
             strategy = NULL, strategy_rev = NULL
         WHERE s.user_id = $2",
        session,
        user,
        now
    )
    .execute(&mut *connection)
    .await?;
    // A statement of its own: it sees what others had written in the session before the one above got its lock.
    let messages = sqlx::query_scalar!(
        r#"WITH folded AS (DELETE FROM summaries WHERE session_id = $1 AND user_id = $2),
                branched AS (DELETE FROM branches WHERE session_id = $1 AND user_id = $2),
                done AS (DELETE FROM tasks WHERE session_id = $1 AND user_id = $2),
                said AS (DELETE FROM messages WHERE session_id = $1 AND user_id = $2 RETURNING 1)
           SELECT count(*) AS "count!" FROM said"#,
        session,
        user
    )
    .fetch_one(connection)
    .await?;
    // Not those that are met again because a turn of theirs has ended.
    stepped.report.sessions += buried.rows_affected();
    stepped.report.messages += u64::try_from(messages).unwrap_or_default();
    Ok(())
}

/// Only ids stay, and that they have ended: what is delivered again is not begun again.
async fn reduce_turns(
    connection: &mut PgConnection,
    user: &str,
    session: Option<&str>,
    stepped: &mut Stepped,
) -> sqlx::Result<()> {
    let held = sqlx::query_scalar!(
        "UPDATE turns
         SET session_deleted = true, cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp()), details = NULL
         WHERE user_id = $1 AND session_id IS NOT DISTINCT FROM $2 AND finished_at IS NULL AND worker IS NOT NULL
             AND leased_until > clock_timestamp()
         RETURNING task_id",
        user,
        session
    )
    .fetch_all(&mut *connection)
    .await?;
    let reduced = sqlx::query!(
        r#"UPDATE turns AS t
           SET user_id = '', session_deleted = true,
               status = CASE WHEN t.finished_at IS NULL THEN 'cancelled' ELSE t.status END,
               finished_at = coalesce(t.finished_at, clock_timestamp()), reply = '', reply_expired = false,
               reset_reason = '', worker = NULL, leased_until = NULL, cancel_requested_at = NULL, fingerprint = NULL,
               provider = NULL, model = NULL, input_tokens = NULL, output_tokens = NULL, cached_tokens = NULL,
               cost_micro_usd = NULL, accepted_at = NULL, started_at = NULL, first_token_at = NULL, error_code = NULL,
               error_message = NULL, error_retryable = NULL, reopened_by = '{}', details = NULL
           FROM (SELECT task_id, finished_at IS NULL AS was_open FROM turns
                 WHERE user_id = $1 AND session_id IS NOT DISTINCT FROM $2
                     AND (finished_at IS NOT NULL OR worker IS NULL OR leased_until IS NULL
                         OR leased_until <= clock_timestamp())
                 FOR UPDATE) AS theirs
           WHERE t.task_id = theirs.task_id
           RETURNING t.task_id, theirs.was_open AS "was_open!""#,
        user,
        session
    )
    .fetch_all(connection)
    .await?;
    let task = |id: &String| id.parse::<TaskId>().ok();
    stepped.notices.extend(held.iter().filter_map(task).map(Notice::Cancel));
    let ended = reduced.iter().filter(|row| row.was_open).filter_map(|row| task(&row.task_id));
    stepped.notices.extend(ended.map(Notice::Changed));
    Ok(())
}
