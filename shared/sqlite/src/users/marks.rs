//! Who was erased, by the hash of the name: what they had sent before comes too late, also when it was never recorded.

use parlance_shared::{SessionId, UserId, port::users::user_key};
use sqlx::SqliteConnection;

use super::erase::{Erasing, Stepped};

/// Whether nothing of this is to be kept: the session is one of an erased user, or it is of a time before its user was erased.
/// Then the session becomes one of those, so that nothing else of it is kept either, whenever that comes.
pub(crate) async fn is_erased(
    connection: &mut SqliteConnection,
    user: &UserId,
    session: SessionId,
    at: i64,
) -> sqlx::Result<bool> {
    let (id, key) = (session.to_string(), user_key(user));
    let found = sqlx::query!(
        r#"SELECT EXISTS (SELECT 1 FROM sessions WHERE id = ?1 AND user_id = '') AS "buried!: bool",
                  EXISTS (SELECT 1 FROM erased_users WHERE user_key = ?2 AND erased_at >= ?3) AS "late!: bool""#,
        id,
        key,
        at
    )
    .fetch_one(&mut *connection)
    .await?;
    if found.late && !found.buried {
        let erasing = Erasing { user: user.as_str(), key: &key, epoch: "", now: at };
        erasing.erase_session(connection, &id, &mut Stepped::default()).await?;
    }
    Ok(found.buried || found.late)
}

pub(super) async fn mark(connection: &mut SqliteConnection, key: &str, now: i64) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO erased_users (user_key, erased_at) VALUES (?, ?)
         ON CONFLICT (user_key) DO UPDATE SET erased_at = max(erased_at, excluded.erased_at)",
        key,
        now
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn forget(connection: &mut SqliteConnection, before: i64) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM erased_users WHERE erased_at < ?", before).execute(connection).await?;
    Ok(())
}
