//! A session was deleted: what was said goes, a tombstone stays.

use parlance_shared::event::SessionDeleted;
use sqlx::{Connection as _, PgConnection};

use super::values::to_millis;
use crate::{database::refused, text::to_sql, users::is_erased};

/// Leaves a tombstone, also of a session that was never seen, and erases what was said. Two statements: the second one
/// sees what others had written in the session before the first one got its lock.
pub(crate) async fn record(connection: &mut PgConnection, event: &SessionDeleted) -> sqlx::Result<()> {
    if is_erased(connection, &event.user_id, event.session_id, event.deleted_at).await? {
        return Ok(());
    }
    let mut transaction = connection.begin().await?;
    let key = event.session_id.to_string();
    let erased = sqlx::query_scalar!(
        r#"WITH session AS (
               INSERT INTO sessions AS s (id, user_id, created_at, updated_at, deleted_at) VALUES ($1, $2, $3, $3, $3)
               ON CONFLICT (id) DO UPDATE SET
                   created_at = least(s.created_at, excluded.created_at),
                   updated_at = greatest(s.updated_at, excluded.updated_at),
                   deleted_at = least(s.deleted_at, excluded.deleted_at),
                   heading = NULL, heading_rev = NULL,
                   instructions = NULL, instructions_rev = NULL,
                   metadata = NULL, metadata_rev = NULL,
                   strategy = NULL, strategy_rev = NULL
               WHERE s.user_id = excluded.user_id
               RETURNING s.created_at
           ), seen AS (
               INSERT INTO users AS u (id, first_seen_at)
               SELECT $2, $3 FROM session
               WHERE created_at = $3 AND NOT EXISTS (SELECT FROM users WHERE id = $2 AND first_seen_at <= $3)
               ON CONFLICT (id) DO UPDATE SET first_seen_at = least(u.first_seen_at, excluded.first_seen_at)
           )
           SELECT created_at AS "created_at!" FROM session"#,
        key,
        &*to_sql(event.user_id.as_str()),
        to_millis(event.deleted_at)
    )
    .fetch_optional(&mut *transaction)
    .await?;
    if erased.is_none() {
        return Err(refused(format!("session {key} belongs to another user")));
    }
    // The tasks' rows stay: their ids are known to be deleted ones.
    sqlx::query!(
        "WITH said AS (DELETE FROM messages WHERE session_id = $1),
              folded AS (DELETE FROM summaries WHERE session_id = $1),
              branched AS (DELETE FROM branches WHERE session_id = $1)
         UPDATE tasks SET requested_model = NULL, fingerprint = NULL, error_code = NULL, error_message = NULL,
             error_retryable = NULL, details = NULL
         WHERE session_id = $1
             AND num_nonnulls(requested_model, fingerprint, error_code, error_message, error_retryable, details) > 0",
        key
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}
