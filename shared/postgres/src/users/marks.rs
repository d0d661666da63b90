//! Who was erased, by the hash of the name: what they had sent before comes too late, also when it was never recorded.

use chrono::{DateTime, Utc};
use parlance_shared::{SessionId, UserId, port::users::user_key};
use sqlx::{Connection as _, PgConnection};

use super::erase::{Stepped, erase_session};
use crate::text::to_sql;

/// Whether nothing of this is to be kept: the session is one of an erased user, or it is of a time before its user was erased.
/// Then the session becomes one of those, so that nothing else of it is kept either, whenever that comes.
pub(crate) async fn is_erased(
    connection: &mut PgConnection,
    user: &UserId,
    session: SessionId,
    at: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let session = session.to_string();
    let found = sqlx::query!(
        r#"SELECT EXISTS (SELECT FROM sessions WHERE id = $1 AND user_id = '') AS "buried!",
                  EXISTS (SELECT FROM erased_users WHERE user_key = $2 AND erased_at >= $3) AS "late!""#,
        session,
        user_key(user),
        at
    )
    .fetch_one(&mut *connection)
    .await?;
    if found.late && !found.buried {
        let mut transaction = connection.begin().await?;
        erase_session(&mut transaction, &to_sql(user.as_str()), &session, at, &mut Stepped::default()).await?;
        transaction.commit().await?;
    }
    Ok(found.buried || found.late)
}

pub(super) async fn mark(connection: &mut PgConnection, key: &str, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO erased_users AS e (user_key, erased_at) VALUES ($1, $2)
         ON CONFLICT (user_key) DO UPDATE SET erased_at = greatest(e.erased_at, excluded.erased_at)",
        key,
        now
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn forget(connection: &mut PgConnection, before: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM erased_users WHERE erased_at < $1", before).execute(connection).await?;
    Ok(())
}
