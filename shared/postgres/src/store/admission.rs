//! What decides whether a session takes another message.
//!
//! A turn waits or runs until its end is stored, which its worker does before the record hears of it; one that a worker has
//! claimed may not be in the record yet. So both are looked at, in one statement.

use parlance_shared::{SessionId, TaskId, UserId, event::Strategy, port::store::Admission};
use sqlx::PgConnection;

use super::values::id;
use crate::text::to_sql;

pub(super) async fn find(
    connection: &mut PgConnection,
    user: &UserId,
    session: SessionId,
    recent: &[TaskId],
    limit: u32,
) -> sqlx::Result<Admission> {
    let recent: Vec<String> = recent.iter().map(TaskId::to_string).collect();
    let row = sqlx::query!(
        r#"WITH known (id) AS (
               SELECT id FROM tasks WHERE session_id = $1 AND user_id = $2 AND status = 'queued'
               UNION
               SELECT task_id FROM turns WHERE session_id = $1 AND user_id = $2 AND finished_at IS NULL
               UNION
               SELECT unnest($3::text[])
           ), waiting (id, accepted_at) AS (
               SELECT known.id, coalesce(u.accepted_at, t.accepted_at)
               FROM known LEFT JOIN turns AS u ON u.task_id = known.id LEFT JOIN tasks AS t ON t.id = known.id
               WHERE CASE WHEN u.task_id IS NULL THEN coalesce(t.status, 'queued') = 'queued' ELSE u.finished_at IS NULL END
           )
           SELECT
               (SELECT strategy FROM sessions WHERE id = $1 AND user_id = $2) AS "strategy?",
               EXISTS (SELECT FROM sessions WHERE id = $1 AND user_id = $2 AND deleted_at IS NOT NULL) AS "deleted!",
               ARRAY(SELECT id FROM waiting LIMIT $4) AS "waiting!: Vec<String>",
               greatest((SELECT max(accepted_at) FROM waiting),
                   (SELECT interrupted_before FROM checkpoints WHERE session_id = $1 AND user_id = $2)) AS "latest?",
               now() AS "looked_at!""#,
        session.to_string(),
        &*to_sql(user.as_str()),
        &recent,
        i64::from(limit)
    )
    .fetch_one(connection)
    .await?;
    Ok(Admission {
        deleted: row.deleted,
        strategy: row.strategy.as_deref().and_then(Strategy::from_word),
        waiting: row.waiting.iter().map(|task| id(task)).collect::<sqlx::Result<_>>()?,
        latest: row.latest,
        looked_at: Some(row.looked_at),
    })
}
