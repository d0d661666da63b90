//! Sessions in which nothing has happened for long, deleted as their owners would.

use chrono::{DateTime, Utc};
use parlance_shared::{TaskId, UserId, event::SessionDeleted};
use sqlx::SqliteConnection;

use crate::{store::record::session_deleted, turns::delete_in};

/// Sessions of one transaction: bounds how long other writes wait.
const BATCH: i64 = 20;

pub(super) struct Deleted {
    pub(super) sessions: u64,
    /// Turns that a worker has.
    pub(super) to_stop: Vec<TaskId>,
}

/// A session with a turn that is open, or not older, is left alone: the record may be behind.
pub(super) async fn delete_aged(
    connection: &mut SqliteConnection,
    before: i64,
    now: DateTime<Utc>,
) -> sqlx::Result<Deleted> {
    let aged = sqlx::query!(
        "SELECT id, user_id FROM sessions AS s
         WHERE deleted_at IS NULL AND created_at < ?1 AND updated_at < ?1
             AND NOT EXISTS (SELECT 1 FROM turns AS t WHERE t.session_id = s.id
                 AND (t.finished_at IS NULL OR t.accepted_at >= ?1))
         ORDER BY created_at LIMIT ?2",
        before,
        BATCH
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut deleted = Deleted { sessions: 0, to_stop: Vec::new() };
    for session in aged {
        let id = session.id.parse().map_err(|_| sqlx::Error::Decode("a session's id can't be read".into()))?;
        let event = SessionDeleted { session_id: id, user_id: UserId::new(session.user_id), deleted_at: now };
        deleted.to_stop.extend(delete_in(connection, &event.user_id, id, now.timestamp_millis()).await?);
        session_deleted(connection, &event).await?;
        deleted.sessions += 1;
    }
    Ok(deleted)
}
