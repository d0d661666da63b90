//! What decides whether a session takes another message.
//!
//! A turn waits or runs until its end is stored, which its worker does before the record hears of it; one that a worker has
//! claimed may not be in the record yet. So both are looked at, in one statement. (The `+` keeps it to the index of what
//! has not ended, however much has.)

use chrono::DateTime;
use parlance_shared::{SessionId, TaskId, UserId, event::Strategy, port::store::Admission};
use sqlx::SqliteConnection;

use super::values::id;

pub(super) async fn find(
    connection: &mut SqliteConnection,
    user: &UserId,
    session: SessionId,
    recent: &[TaskId],
    limit: u32,
) -> sqlx::Result<Admission> {
    let (owner, key) = (user.as_str(), session.to_string());
    let recent = serde_json::Value::from(recent.iter().map(TaskId::to_string).collect::<Vec<_>>()).to_string();
    let row = sqlx::query!(
        r#"WITH known (id) AS (
               SELECT id FROM tasks WHERE session_id = ?1 AND user_id = ?2 AND status = 'queued'
               UNION
               SELECT task_id FROM turns WHERE session_id = ?1 AND +user_id = ?2 AND finished_at IS NULL
               UNION
               SELECT value FROM json_each(?3)
           ), waiting (id, accepted_at) AS (
               SELECT known.id, coalesce(u.accepted_at, t.accepted_at)
               FROM known LEFT JOIN turns AS u ON u.task_id = known.id LEFT JOIN tasks AS t ON t.id = known.id
               WHERE iif(u.task_id IS NULL, coalesce(t.status, 'queued') = 'queued', u.finished_at IS NULL)
           )
           SELECT
               (SELECT strategy FROM sessions WHERE id = ?1 AND user_id = ?2) AS "strategy?: String",
               EXISTS (SELECT 1 FROM sessions WHERE id = ?1 AND user_id = ?2 AND deleted_at IS NOT NULL) AS "deleted!: bool",
               (SELECT group_concat(id, ' ') FROM (SELECT id FROM waiting LIMIT ?4)) AS "waiting?: String",
               max(coalesce((SELECT max(accepted_at) FROM waiting), 0),
                   coalesce((SELECT interrupted_before FROM checkpoints WHERE session_id = ?1 AND user_id = ?2), 0)
               ) AS "latest!: i64""#,
        key,
        owner,
        recent,
        limit
    )
    .fetch_one(connection)
    .await?;
    Ok(Admission {
        deleted: row.deleted,
        strategy: row.strategy.as_deref().and_then(Strategy::from_word),
        waiting: row.waiting.iter().flat_map(|ids| ids.split(' ')).map(id).collect::<sqlx::Result<_>>()?,
        looked_at: None,
        latest: (row.latest > 0).then(|| DateTime::from_timestamp_millis(row.latest)).flatten(),
    })
}
