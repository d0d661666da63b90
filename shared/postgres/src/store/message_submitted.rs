//! An accepted message: its user, session, task and text.

use parlance_shared::{event::MessageSubmitted, port::users::user_key};
use sqlx::{Connection as _, PgConnection};

use super::values::{is_terminal, json, to_millis};
use crate::{database::refused, text::to_sql, users::is_erased};

/// Keeps an accepted request. How the task ended, if that is known already, stays.
pub(super) async fn record(connection: &mut PgConnection, event: &MessageSubmitted) -> sqlx::Result<()> {
    let (model, fingerprint) = (event.model.as_deref().map(to_sql), event.fingerprint.as_deref().map(to_sql));
    let replaced = event.input.replaces.as_ref();
    let (session, task) = (event.session_id.to_string(), event.task_id.to_string());
    let row = sqlx::query!(
        r#"WITH session AS (
               INSERT INTO sessions AS s (id, user_id, created_at, updated_at)
               SELECT $1, $2, $3::timestamptz, $3
               WHERE NOT EXISTS (SELECT FROM tasks WHERE id = $4 AND (user_id <> $2 OR session_id <> $1))
                   AND NOT EXISTS (SELECT FROM erased_users WHERE user_key = $15 AND erased_at >= $3)
               ON CONFLICT (id) DO UPDATE SET
                   created_at = least(s.created_at, excluded.created_at),
                   updated_at = greatest(s.updated_at, excluded.updated_at)
               WHERE s.user_id = excluded.user_id
               RETURNING s.created_at, s.deleted_at IS NULL AS kept
           ), task AS (
               INSERT INTO tasks AS t (id, user_id, session_id, message_id, reply_message_id, status, attempt,
                   requested_model, fingerprint, accepted_at)
               SELECT $4, $2, $1, $5, $6, 'queued', 0, CASE WHEN kept THEN $7 END, CASE WHEN kept THEN $8 END, $3
               FROM session
               ON CONFLICT (id) DO UPDATE SET
                   message_id = coalesce(t.message_id, excluded.message_id),
                   reply_message_id = coalesce(t.reply_message_id, excluded.reply_message_id),
                   requested_model = coalesce(t.requested_model, excluded.requested_model),
                   fingerprint = coalesce(t.fingerprint, excluded.fingerprint),
                   accepted_at = least(t.accepted_at, excluded.accepted_at)
               WHERE t.user_id = excluded.user_id AND t.session_id = excluded.session_id
               RETURNING t.message_id, t.status, t.error_code
           ), message AS (
               INSERT INTO messages AS m (task_id, role, id, session_id, user_id, content, metadata, created_at, sorts_at,
                   input)
               SELECT $4, 'user', task.message_id, $1, $2, $9, $10::text::json, $3, $11, $12
               FROM session CROSS JOIN task WHERE session.kept
               ON CONFLICT (task_id, role) DO UPDATE SET
                   created_at = least(m.created_at, excluded.created_at),
                   sorts_at = least(m.sorts_at, excluded.sorts_at)
           ), branch AS (
               -- The same request made twice counts from its first time on, as its message does. What was refused stands in
               -- for nothing.
               INSERT INTO branches AS b (task_id, session_id, user_id, replaces, from_at, at)
               SELECT $4, $1, $2, $13, $14::timestamptz, $3
               FROM session CROSS JOIN task WHERE session.kept AND $13::text IS NOT NULL
                   AND task.error_code IS DISTINCT FROM 'session_busy'
               ON CONFLICT (task_id) DO UPDATE SET at = least(b.at, excluded.at)
           ), seen AS (
               -- Only an event that is its session's earliest can be its user's earliest.
               INSERT INTO users AS u (id, first_seen_at)
               SELECT $2, $3 FROM session
               WHERE created_at = $3 AND NOT EXISTS (SELECT FROM users WHERE id = $2 AND first_seen_at <= $3)
               ON CONFLICT (id) DO UPDATE SET first_seen_at = least(u.first_seen_at, excluded.first_seen_at)
           )
           SELECT session.kept AS "kept!", task.status AS "status?" FROM session LEFT JOIN task ON true"#,
        session,
        &*to_sql(event.user_id.as_str()),
        to_millis(event.accepted_at),
        task,
        event.message_id.to_string(),
        event.reply_message_id.to_string(),
        model.as_deref(),
        fingerprint.as_deref(),
        &*to_sql(&event.content),
        json(event.metadata.as_ref()),
        event.accepted_at.timestamp_micros(),
        event.input.to_column(),
        replaced.map(|replaced| replaced.task_id.to_string()),
        replaced.map(|replaced| to_millis(replaced.accepted_at)),
        user_key(&event.user_id)
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some((kept, Some(status))) = row.map(|row| (row.kept, row.status)) else {
        if is_erased(connection, &event.user_id, event.session_id, to_millis(event.accepted_at)).await? {
            return Ok(());
        }
        return Err(refused(format!("task {task} or its session {session} belongs to another session or user")));
    };
    if kept && is_terminal(&status) {
        sort_reply_after(connection, &session, &task).await?;
    }
    Ok(())
}

/// Puts a reply that was stored before its request behind it. Under the session's lock: the reply may be replaced, and the
/// time that it goes by be corrected, at this moment.
async fn sort_reply_after(connection: &mut PgConnection, session: &str, task: &str) -> sqlx::Result<()> {
    let mut locked = connection.begin().await?;
    sqlx::query!("SELECT id FROM sessions WHERE id = $1 FOR NO KEY UPDATE", session).fetch_all(&mut *locked).await?;
    sqlx::query!(
        "UPDATE messages AS m SET sorts_at = place.sorts_at
         FROM (
             SELECT m.task_id, greatest((extract(epoch FROM m.created_at) * 1000000)::bigint,
                 (extract(epoch FROM t.accepted_at) * 1000000)::bigint + 1000) AS sorts_at
             FROM messages AS m JOIN tasks AS t ON t.id = m.task_id
             WHERE m.task_id = $1 AND m.role = 'assistant'
         ) AS place
         WHERE m.task_id = place.task_id AND m.role = 'assistant' AND m.sorts_at <> place.sorts_at",
        task
    )
    .execute(&mut *locked)
    .await?;
    locked.commit().await
}
