//! Reads tasks, with their replies.

use parlance_shared::{
    TaskId, UserId,
    port::store::{Lookup, StoredTask},
    task::{Reply, Task, TaskDetails, TaskError, Timings},
};
use sqlx::PgConnection;

use super::values::{id, status, usage};
use crate::text::{from_sql, to_sql};

pub(super) async fn find(
    connection: &mut PgConnection,
    user: &UserId,
    task: TaskId,
) -> sqlx::Result<Lookup<StoredTask>> {
    let row = sqlx::query!(
        r#"SELECT t.session_id, t.message_id, t.reply_message_id, t.status, t.attempt, t.fingerprint, t.provider, t.model,
               t.input_tokens, t.output_tokens, t.cached_tokens, t.accepted_at, t.started_at, t.first_token_at,
               t.finished_at, t.error_code, t.error_message, t.error_retryable, t.details, s.deleted_at,
               r.content AS "reply?"
           FROM tasks AS t
           JOIN sessions AS s ON s.id = t.session_id
           LEFT JOIN messages AS r ON r.task_id = t.id AND r.role = 'assistant'
           WHERE t.id = $1 AND t.user_id = $2"#,
        task.to_string(),
        &*to_sql(user.as_str())
    )
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(Lookup::Unknown) };
    if row.deleted_at.is_some() {
        return Ok(Lookup::Deleted);
    }
    let error = row.error_code.map(|code| TaskError {
        code: from_sql(code),
        message: row.error_message.map(from_sql).unwrap_or_default(),
        retryable: row.error_retryable.unwrap_or_default(),
    });
    let found = Task {
        id: task,
        session_id: Some(id(&row.session_id)?),
        message_id: row.message_id.as_deref().map(id).transpose()?,
        status: status(&row.status)?,
        attempt: u32::try_from(row.attempt).unwrap_or(u32::MAX),
        reply: Reply {
            message_id: row.reply_message_id.as_deref().map(id).transpose()?,
            content: row.reply.map(from_sql).unwrap_or_default(),
        },
        provider: row.provider.map(from_sql),
        model: row.model.map(from_sql),
        usage: usage(row.input_tokens, row.output_tokens, row.cached_tokens),
        timings: Timings::from_instants(row.accepted_at, row.started_at, row.first_token_at, row.finished_at),
        error,
        details: TaskDetails::from_column(row.details.as_deref()),
    };
    Ok(Lookup::Found(StoredTask { task: found, fingerprint: row.fingerprint.map(from_sql) }))
}
