//! How a task ended, and what was said by then.

use parlance_shared::{
    event::ReplyCompleted,
    port::users::user_key,
    task::{Status, codes},
};
use sqlx::{Connection as _, PgConnection};

use super::values::{count, to_millis};
use crate::{database::refused, text::to_sql, users::is_erased};

pub(super) async fn record(connection: &mut PgConnection, event: &ReplyCompleted) -> sqlx::Result<()> {
    let task = &event.task;
    if !task.status.is_terminal() {
        return Err(refused(format!("task {} has not ended but is {}", task.id, task.status.as_str())));
    }
    if task.session_id.is_some_and(|session| session != event.session_id) {
        return Err(refused(format!("task {} and its event name different sessions", task.id)));
    }
    // A completed reply is a message even when the model said nothing; a failed or cancelled one only if it said something.
    if task.status == Status::Completed || !task.reply.content.is_empty() {
        return end(connection, event, true).await;
    }
    // An earlier attempt may have said something. It goes under the lock that the end takes, so that nothing of a later
    // attempt is taken for it.
    let mut transaction = connection.begin().await?;
    end(&mut transaction, event, false).await?;
    sqlx::query!(
        "DELETE FROM messages AS m USING tasks AS t
         WHERE m.task_id = $1 AND m.role = 'assistant' AND t.id = m.task_id AND t.attempt = $2 AND t.status = $3
             AND m.session_id = $4",
        task.id.to_string(),
        i64::from(task.attempt),
        task.status.as_str(),
        event.session_id.to_string()
    )
    .execute(&mut *transaction)
    .await?;
    if task.error.as_ref().is_some_and(|error| error.code == codes::SESSION_BUSY) {
        sqlx::query!(
            "DELETE FROM branches WHERE task_id = $1 AND session_id = $2 AND user_id = $3",
            task.id.to_string(),
            event.session_id.to_string(),
            &*to_sql(event.user_id.as_str())
        )
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await
}

/// Keeps a task's end, unless one of the same or a later attempt is known. `speaks`: with a reply.
async fn end(connection: &mut PgConnection, event: &ReplyCompleted, speaks: bool) -> sqlx::Result<()> {
    let (task, times) = (&event.task, &event.task.timings);
    let Some(ended_at) = times.finished_at.or(times.accepted_at) else {
        return Err(refused(format!("task {} does not say when it ended", task.id)));
    };
    let began_at = times.accepted_at.unwrap_or(ended_at);
    let (session, key) = (event.session_id.to_string(), task.id.to_string());
    let user = to_sql(event.user_id.as_str());
    let (provider, model) = (task.provider.as_deref().map(to_sql), task.model.as_deref().map(to_sql));
    let error = task.error.as_ref();
    let (error_code, error_message) =
        (error.map(|error| to_sql(&error.code)), error.map(|error| to_sql(&error.message)));
    let row = sqlx::query!(
        r#"WITH session AS (
               INSERT INTO sessions AS s (id, user_id, created_at, updated_at)
               SELECT $1, $2, $3::timestamptz, $4::timestamptz
               WHERE NOT EXISTS (SELECT FROM tasks WHERE id = $5 AND (user_id <> $2 OR session_id <> $1))
                   AND NOT EXISTS (SELECT FROM erased_users WHERE user_key = $28 AND erased_at >= $3)
               ON CONFLICT (id) DO UPDATE SET
                   created_at = least(s.created_at, excluded.created_at),
                   updated_at = greatest(s.updated_at, excluded.updated_at)
               WHERE s.user_id = excluded.user_id
               RETURNING s.created_at, s.deleted_at IS NULL AS kept
           ), task AS (
               INSERT INTO tasks AS t (id, user_id, session_id, message_id, reply_message_id, status, attempt, provider,
                   model, input_tokens, output_tokens, cached_tokens, accepted_at, started_at, first_token_at,
                   finished_at, error_code, error_message, error_retryable, details, cost_micro_usd)
               SELECT $5, $2, $1, $6, $7, $8, $9::bigint, $10, $11, $12::bigint, $13::bigint, $14::bigint,
                   $15::timestamptz, $16::timestamptz, $17::timestamptz, $18::timestamptz,
                   CASE WHEN kept THEN $19 END, CASE WHEN kept THEN $20 END, CASE WHEN kept THEN $21::boolean END,
                   CASE WHEN kept THEN $26 END, $27::bigint
               FROM session
               ON CONFLICT (id) DO UPDATE SET
                   message_id = coalesce(t.message_id, excluded.message_id),
                   reply_message_id = coalesce(excluded.reply_message_id, t.reply_message_id),
                   status = excluded.status, attempt = excluded.attempt,
                   provider = excluded.provider, model = excluded.model,
                   input_tokens = excluded.input_tokens, output_tokens = excluded.output_tokens,
                   cached_tokens = excluded.cached_tokens,
                   accepted_at = least(t.accepted_at, excluded.accepted_at),
                   started_at = excluded.started_at, first_token_at = excluded.first_token_at,
                   finished_at = excluded.finished_at,
                   error_code = excluded.error_code, error_message = excluded.error_message,
                   error_retryable = excluded.error_retryable,
                   details = excluded.details, cost_micro_usd = excluded.cost_micro_usd
               WHERE t.user_id = excluded.user_id AND t.session_id = excluded.session_id
                   AND (t.status = 'queued' OR t.attempt < excluded.attempt)
               RETURNING t.reply_message_id, t.accepted_at
           ), reply AS (
               INSERT INTO messages AS m (task_id, role, id, session_id, user_id, content, created_at, sorts_at)
               -- After its message, also when both are of one millisecond or the worker's clock is behind.
               SELECT $5, 'assistant', task.reply_message_id, $1, $2, $22, $23::timestamptz,
                   greatest($24::bigint, (extract(epoch FROM task.accepted_at) * 1000000)::bigint + 1000)
               FROM session CROSS JOIN task WHERE session.kept AND $25
               ON CONFLICT (task_id, role) DO UPDATE SET
                   id = excluded.id, content = excluded.content, created_at = excluded.created_at,
                   sorts_at = excluded.sorts_at
           ), seen AS (
               INSERT INTO users AS u (id, first_seen_at)
               SELECT $2, $3 FROM session
               WHERE created_at = $3 AND NOT EXISTS (SELECT FROM users WHERE id = $2 AND first_seen_at <= $3)
               ON CONFLICT (id) DO UPDATE SET first_seen_at = least(u.first_seen_at, excluded.first_seen_at)
           )
           SELECT EXISTS (SELECT FROM task) AS "is_news!" FROM session"#,
        session,
        &*user,
        to_millis(began_at),
        to_millis(ended_at),
        key,
        task.message_id.map(|id| id.to_string()),
        task.reply.message_id.map(|id| id.to_string()),
        task.status.as_str(),
        i64::from(task.attempt),
        provider.as_deref(),
        model.as_deref(),
        count(task.usage.input_tokens),
        count(task.usage.output_tokens),
        count(task.usage.cached_tokens),
        times.accepted_at.map(to_millis),
        times.started_at.map(to_millis),
        times.first_token_at.map(to_millis),
        times.finished_at.map(to_millis),
        error_code.as_deref(),
        error_message.as_deref(),
        error.map(|error| error.retryable),
        &*to_sql(&task.reply.content),
        to_millis(ended_at),
        to_millis(ended_at).timestamp_micros(),
        speaks,
        task.details.to_column(),
        count(task.details.cost_micro_usd),
        user_key(&event.user_id)
    )
    .fetch_optional(&mut *connection)
    .await?;
    match row.map(|row| row.is_news) {
        None if is_erased(connection, &event.user_id, event.session_id, to_millis(began_at)).await? => Ok(()),
        None => Err(foreign(&key, &session)),
        Some(true) => Ok(()),
        // An end of the same or a later attempt is known; or another session's event made the task at this very moment.
        Some(false) => {
            let ours = sqlx::query_scalar!(
                "SELECT 1 FROM tasks WHERE id = $1 AND user_id = $2 AND session_id = $3",
                key,
                &*user,
                session
            );
            ours.fetch_optional(connection).await?.map(|_| ()).ok_or_else(|| foreign(&key, &session))
        }
    }
}

fn foreign(task: &str, session: &str) -> sqlx::Error {
    refused(format!("task {task} or its session {session} belongs to another session or user"))
}
