//! Replies that their owners no longer want to fetch as responses; the conversation keeps them.

use chrono::{DateTime, Utc};
use parlance_shared::{TaskId, UserId};
use sqlx::PgConnection;

use crate::text::to_sql;

/// Hides it; the first time counts. The caller has made sure that the task is the user's.
pub(super) async fn hide(
    connection: &mut PgConnection,
    user: &UserId,
    task: TaskId,
    at: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO hidden_responses (task_id, user_id, hidden_at) VALUES ($1, $2, $3) ON CONFLICT (task_id) DO NOTHING",
        task.to_string(),
        &*to_sql(user.as_str()),
        at
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn is_hidden(connection: &mut PgConnection, user: &UserId, task: TaskId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM hidden_responses WHERE task_id = $1 AND user_id = $2) AS "hidden!""#,
        task.to_string(),
        &*to_sql(user.as_str())
    )
    .fetch_one(connection)
    .await
}
