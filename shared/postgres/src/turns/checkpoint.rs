//! Checkpoints: read by the worker that starts a turn, saved by compare-and-swap on their version.

use parlance_shared::{
    SessionId, UserId,
    port::{
        PortError,
        turns::{ClaimError, VersionedCheckpoint},
    },
};
use sqlx::PgConnection;

use super::PostgresTurns;
use crate::text::to_sql;

pub(super) enum Saved {
    Yes,
    Stale,
    SessionDeleted,
}

pub(super) async fn load(
    turns: &PostgresTurns,
    user: &UserId,
    session: SessionId,
) -> Result<VersionedCheckpoint, PortError> {
    let input = (user, session);
    let row =
        turns.database.run(&input, |connection, (user, session)| Box::pin(read(connection, user, *session))).await?;
    let Some(row) = row else { return Ok(VersionedCheckpoint::default()) };
    let checkpoint = serde_json::from_str(&row.checkpoint)
        .map_err(|error| PortError::Rejected { what: "the checkpoint", cause: error.to_string() })?;
    Ok(VersionedCheckpoint { version: row.version, checkpoint })
}

struct Row {
    version: i64,
    checkpoint: String,
}

async fn read(connection: &mut PgConnection, user: &UserId, session: SessionId) -> sqlx::Result<Option<Row>> {
    sqlx::query_as!(
        Row,
        "SELECT version, checkpoint FROM checkpoints WHERE session_id = $1 AND user_id = $2 AND NOT deleted",
        session.to_string(),
        &to_sql(user.as_str())
    )
    .fetch_optional(connection)
    .await
}

/// A try whose answer was lost may have worked; the caller finds the checkpoint stale then, and loads it.
pub(super) async fn save(
    turns: &PostgresTurns,
    user: &UserId,
    session: SessionId,
    checkpoint: &VersionedCheckpoint,
) -> Result<(), ClaimError> {
    let input = (user, session, checkpoint);
    let saved = turns.database.run(&input, |connection, (user, session, checkpoint)| {
        Box::pin(save_in(connection, user, *session, checkpoint))
    });
    match saved.await? {
        Saved::Yes | Saved::SessionDeleted => Ok(()),
        Saved::Stale => Err(ClaimError::StaleCheckpoint),
    }
}

/// Saves within the caller's transaction; writes nothing unless it answers [`Saved::Yes`].
pub(super) async fn save_in(
    connection: &mut PgConnection,
    user: &UserId,
    session: SessionId,
    checkpoint: &VersionedCheckpoint,
) -> sqlx::Result<Saved> {
    let json = serde_json::to_string(&checkpoint.checkpoint).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let saved = sqlx::query!(
        "INSERT INTO checkpoints AS stored (session_id, user_id, version, checkpoint, saved_at)
         VALUES ($1, $2, $3::bigint + 1, $4, clock_timestamp())
         ON CONFLICT (session_id) DO UPDATE
         SET version = excluded.version, checkpoint = excluded.checkpoint, saved_at = excluded.saved_at
         WHERE stored.version = excluded.version - 1 AND NOT stored.deleted AND stored.user_id = excluded.user_id",
        session.to_string(),
        &to_sql(user.as_str()),
        checkpoint.version,
        json
    )
    .execute(&mut *connection)
    .await?;
    if saved.rows_affected() == 1 {
        return Ok(Saved::Yes);
    }
    let deleted = sqlx::query_scalar!("SELECT deleted FROM checkpoints WHERE session_id = $1", session.to_string())
        .fetch_optional(connection)
        .await?;
    Ok(if deleted == Some(true) { Saved::SessionDeleted } else { Saved::Stale })
}
