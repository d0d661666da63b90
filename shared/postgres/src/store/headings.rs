//! Headings that were found for sessions.

use parlance_shared::event::HeadingMade;
use sqlx::PgConnection;

use super::values::to_millis;
use crate::{database::refused, text::to_sql, users::is_erased};

/// The first one stays. A change by the owner leaves a revision, also one that clears the heading: then nothing happens, and
/// neither does anything to a tombstone. It leaves no revision itself, so a change that comes later goes before it. When the
/// session was last used does not change by it.
pub(super) async fn record(connection: &mut PgConnection, event: &HeadingMade) -> sqlx::Result<()> {
    if is_erased(connection, &event.user_id, event.session_id, event.made_at).await? {
        return Ok(());
    }
    let key = event.session_id.to_string();
    let recorded = sqlx::query!(
        "INSERT INTO sessions AS s (id, user_id, created_at, updated_at, heading) VALUES ($1, $2, $3, $3, $4)
         ON CONFLICT (id) DO UPDATE SET
             heading = CASE WHEN s.deleted_at IS NULL AND s.heading_rev IS NULL
                 THEN coalesce(s.heading, excluded.heading) ELSE s.heading END
         WHERE s.user_id = excluded.user_id",
        key,
        &*to_sql(event.user_id.as_str()),
        to_millis(event.made_at),
        &*to_sql(&event.heading)
    )
    .execute(connection)
    .await?;
    if recorded.rows_affected() == 0 {
        return Err(refused(format!("session {key} belongs to another user")));
    }
    Ok(())
}
