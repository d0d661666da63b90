//! Headings that were found for sessions.

use parlance_shared::event::HeadingMade;
use sqlx::SqliteConnection;

use crate::{database::refused, users::is_erased};

/// The first one stays. A change by the owner leaves a revision, also one that clears the heading: then nothing happens, and
/// neither does anything to a tombstone. It leaves no revision itself, so a change that comes later goes before it. When the
/// session was last used does not change by it.
pub(super) async fn record(connection: &mut SqliteConnection, event: &HeadingMade) -> sqlx::Result<()> {
    let (key, owner, at) = (event.session_id.to_string(), event.user_id.as_str(), event.made_at.timestamp_millis());
    let heading = event.heading.as_str();
    if is_erased(connection, &event.user_id, event.session_id, at).await? {
        return Ok(());
    }
    let recorded = sqlx::query!(
        "INSERT INTO sessions (id, user_id, created_at, updated_at, heading) VALUES (?1, ?2, ?3, ?3, ?4)
         ON CONFLICT (id) DO UPDATE SET
             heading = iif(deleted_at IS NULL AND heading_rev IS NULL, coalesce(heading, excluded.heading), heading)
         WHERE user_id = excluded.user_id",
        key,
        owner,
        at,
        heading
    )
    .execute(connection)
    .await?;
    if recorded.rows_affected() == 0 {
        return Err(refused(format!("session {key} belongs to another user")));
    }
    Ok(())
}
