//! Replies that their owners no longer want to fetch as responses; the conversation keeps them.

use chrono::{DateTime, Utc};
use parlance_shared::{TaskId, UserId};
use sqlx::SqliteConnection;

/// Hides it; the first time counts. The caller has made sure that the task is the user's.
pub(super) async fn hide(
    connection: &mut SqliteConnection,
    user: &UserId,
    task: TaskId,
    at: DateTime<Utc>,
) -> sqlx::Result<()> {
    let (key, owner, at) = (task.to_string(), user.as_str(), at.timestamp_millis());
    sqlx::query!(
        "INSERT INTO hidden_responses (task_id, user_id, hidden_at) VALUES (?, ?, ?) ON CONFLICT (task_id) DO NOTHING",
        key,
        owner,
        at
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn is_hidden(connection: &mut SqliteConnection, user: &UserId, task: TaskId) -> sqlx::Result<bool> {
    let (key, owner) = (task.to_string(), user.as_str());
    let found = sqlx::query_scalar!("SELECT 1 FROM hidden_responses WHERE task_id = ? AND user_id = ?", key, owner)
        .fetch_optional(connection)
        .await?;
    Ok(found.is_some())
}
