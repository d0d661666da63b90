//! Users, as far as events name them.

use parlance_shared::UserId;
use sqlx::SqliteConnection;

/// Keeps a user and the earliest time they were heard of.
pub(super) async fn seen(connection: &mut SqliteConnection, user: &UserId, at: i64) -> sqlx::Result<()> {
    let user = user.as_str();
    sqlx::query!(
        "INSERT INTO users (id, first_seen_at) VALUES (?, ?)
         ON CONFLICT (id) DO UPDATE SET first_seen_at = excluded.first_seen_at
         WHERE excluded.first_seen_at < first_seen_at",
        user,
        at
    )
    .execute(connection)
    .await?;
    Ok(())
}
