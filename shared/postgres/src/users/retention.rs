//! Sessions in which nothing has happened for long, deleted as their owners would. One process at a time, in small
//! transactions; sessions that somebody has locked are left for later.

use chrono::{DateTime, Utc};
use parlance_shared::{UserId, event::SessionDeleted};
use sqlx::{Connection as _, PgConnection};

use crate::{store::record_deleted, text::from_sql, turns::delete_in};

/// Sessions of one transaction: bounds how long others wait for their locks.
const BATCH: i64 = 20;

/// A session with a turn that is open, or not older, is left alone: the record may be behind. `None` when another process is
/// at it.
pub(super) async fn delete_aged(
    connection: &mut PgConnection,
    before: DateTime<Utc>,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<u64>> {
    let mut transaction = connection.begin().await?;
    let mine = sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_xact_lock(hashtextextended('parlance_delete_aged', 0)) AS "mine!""#
    )
    .fetch_one(&mut *transaction)
    .await?;
    if !mine {
        return Ok(None);
    }
    let aged = sqlx::query!(
        "SELECT id, user_id FROM sessions AS s
         WHERE deleted_at IS NULL AND created_at < $1 AND updated_at < $1
             AND NOT EXISTS (SELECT FROM turns AS t WHERE t.session_id = s.id
                 AND (t.finished_at IS NULL OR t.accepted_at >= $1))
         ORDER BY created_at LIMIT $2",
        before,
        BATCH
    )
    .fetch_all(&mut *transaction)
    .await?;
    let mut deleted = 0;
    for session in aged {
        let id = session.id.parse().map_err(|_| sqlx::Error::Decode("a session's id can't be read".into()))?;
        let event = SessionDeleted { session_id: id, user_id: UserId::new(from_sql(session.user_id)), deleted_at: now };
        delete_in(&mut transaction, &event.user_id, &session.id).await?;
        record_deleted(&mut transaction, &event).await?;
        deleted += 1;
    }
    transaction.commit().await?;
    Ok(Some(deleted))
}
