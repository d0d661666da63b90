//! A user's tasks that have not ended: in the record or known to the caller, and without an end in the turns, which know of it
//! first. The index by user and end finds those of the record without a look at what has ended.

use parlance_shared::{TaskId, UserId};
use sqlx::SqliteConnection;

use super::values::id;

pub(super) async fn list(
    connection: &mut SqliteConnection,
    user: &UserId,
    recent: &[TaskId],
    limit: u32,
) -> sqlx::Result<Vec<TaskId>> {
    let owner = user.as_str();
    let recent = serde_json::Value::from(recent.iter().map(TaskId::to_string).collect::<Vec<_>>()).to_string();
    let rows = sqlx::query_scalar!(
        r#"WITH known (id) AS (
               SELECT id FROM tasks WHERE user_id = ?1 AND finished_at IS NULL AND status = 'queued'
               UNION
               SELECT value FROM json_each(?2)
           )
           SELECT CAST(known.id AS TEXT) AS "id!: String"
           FROM known LEFT JOIN turns AS u ON u.task_id = known.id LEFT JOIN tasks AS t ON t.id = known.id
           WHERE iif(u.task_id IS NULL, coalesce(t.status, 'queued') = 'queued', u.finished_at IS NULL)
           LIMIT ?3"#,
        owner,
        recent,
        limit
    )
    .fetch_all(connection)
    .await?;
    rows.iter().map(|task| id(task)).collect()
}
