//! Checkpoints: read by the worker that starts a turn, saved by compare-and-swap on their version.

use sqlx::SqliteConnection;

use parlance_shared::{
    SessionId, UserId,
    port::{
        PortError,
        turns::{ClaimError, VersionedCheckpoint},
    },
};

use super::SqliteTurns;
use crate::database::port_error;

pub(super) enum Saved {
    Yes,
    Stale,
    SessionDeleted,
}

pub(super) async fn load(
    turns: &SqliteTurns,
    user: &UserId,
    session: SessionId,
) -> Result<VersionedCheckpoint, PortError> {
    let (user, session) = (user.as_str(), session.to_string());
    let row = sqlx::query!(
        "SELECT version, checkpoint FROM checkpoints WHERE session_id = ? AND user_id = ? AND deleted = 0",
        session,
        user
    )
    .fetch_optional(&mut *turns.database.read().await?)
    .await
    .map_err(port_error)?;
    let Some(row) = row else { return Ok(VersionedCheckpoint::default()) };
    let checkpoint = serde_json::from_str(&row.checkpoint)
        .map_err(|error| PortError::Rejected { what: "the checkpoint", cause: error.to_string() })?;
    Ok(VersionedCheckpoint { version: row.version, checkpoint })
}

pub(super) async fn save(
    turns: &SqliteTurns,
    user: UserId,
    session: SessionId,
    checkpoint: VersionedCheckpoint,
) -> Result<(), ClaimError> {
    let now = turns.database.clock().now_millis();
    let job =
        async move |connection: &mut SqliteConnection| save_in(connection, &user, session, &checkpoint, now).await;
    match turns.database.write(job).await? {
        Saved::Yes | Saved::SessionDeleted => Ok(()),
        Saved::Stale => Err(ClaimError::StaleCheckpoint),
    }
}

/// Saves within the caller's transaction; writes nothing unless it answers [`Saved::Yes`].
pub(super) async fn save_in(
    connection: &mut SqliteConnection,
    user: &UserId,
    session: SessionId,
    checkpoint: &VersionedCheckpoint,
    now: i64,
) -> sqlx::Result<Saved> {
    let (user, session) = (user.as_str(), session.to_string());
    let expected = checkpoint.version;
    let json = serde_json::to_string(&checkpoint.checkpoint).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let saved = sqlx::query!(
        "INSERT INTO checkpoints (session_id, user_id, version, checkpoint, saved_at) VALUES (?, ?, ? + 1, ?, ?)
         ON CONFLICT (session_id) DO UPDATE
         SET version = excluded.version, checkpoint = excluded.checkpoint, saved_at = excluded.saved_at
         WHERE version = excluded.version - 1 AND deleted = 0 AND user_id = excluded.user_id",
        session,
        user,
        expected,
        json,
        now
    )
    .execute(&mut *connection)
    .await?;
    if saved.rows_affected() == 1 {
        return Ok(Saved::Yes);
    }
    let deleted = sqlx::query_scalar!("SELECT deleted FROM checkpoints WHERE session_id = ?", session)
        .fetch_optional(connection)
        .await?;
    Ok(if deleted == Some(1) { Saved::SessionDeleted } else { Saved::Stale })
}
