//! A user's tasks that have not ended: in the record or known to the caller, and without an end in the turns, which know of it
//! first. The index by user and end finds those of the record without a look at what has ended.

use parlance_shared::{TaskId, UserId};
use sqlx::PgConnection;

use super::values::id;
use crate::text::to_sql;

pub(super) async fn list(
    connection: &mut PgConnection,
    user: &UserId,
    recent: &[TaskId],
    limit: u32,
) -> sqlx::Result<Vec<TaskId>> {
    let recent: Vec<String> = recent.iter().map(TaskId::to_string).collect();
    let rows = sqlx::query_scalar!(
        r#"WITH known (id) AS (
               SELECT id FROM tasks WHERE user_id = $1 AND finished_at IS NULL AND status = 'queued'
               UNION
               SELECT unnest($2::text[])
           )
           SELECT known.id AS "id!"
           FROM known LEFT JOIN turns AS u ON u.task_id = known.id LEFT JOIN tasks AS t ON t.id = known.id
           WHERE CASE WHEN u.task_id IS NULL THEN coalesce(t.status, 'queued') = 'queued' ELSE u.finished_at IS NULL END
           LIMIT $3"#,
        &*to_sql(user.as_str()),
        &recent,
        i64::from(limit)
    )
    .fetch_all(connection)
    .await?;
    rows.iter().map(|task| id(task)).collect()
}
