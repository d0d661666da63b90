//! Tasks: accepted, then ended once per attempt that got so far, of which the latest attempt's end counts.

use parlance_shared::{
    MessageId, SessionId, TaskId, UserId,
    event::{MessageSubmitted, ReplyCompleted},
    port::store::{Lookup, StoredTask},
    task::{Reply, Status, Task, TaskDetails, TaskError, codes},
};
use sqlx::SqliteConnection;

use super::{
    sessions::SessionState,
    values::{count, id, millis, status, timings, usage},
};
use crate::database::refused;

/// What a task's row says after it was written.
pub(super) struct Recorded {
    pub(super) status: Status,
    pub(super) accepted_at: Option<i64>,
    pub(super) reply_message_id: Option<MessageId>,
    /// Another turn of its session came first.
    pub(super) was_refused: bool,
}

/// Keeps an accepted request. How the task ended, if that is known already, stays.
pub(super) async fn accept(
    connection: &mut SqliteConnection,
    event: &MessageSubmitted,
    message: MessageId,
    session: SessionState,
) -> sqlx::Result<Recorded> {
    let (task, session_id) = (event.task_id.to_string(), event.session_id.to_string());
    let (message, reply) = (message.to_string(), event.reply_message_id.to_string());
    let (owner, at) = (event.user_id.as_str(), event.accepted_at.timestamp_millis());
    let model = session.keep(event.model.as_deref());
    let fingerprint = session.keep(event.fingerprint.as_deref());
    let row = sqlx::query!(
        r#"INSERT INTO tasks (id, user_id, session_id, message_id, reply_message_id, status, attempt, requested_model,
               fingerprint, accepted_at)
           VALUES (?1, ?2, ?3, ?4, ?5, 'queued', 0, ?6, ?7, ?8)
           ON CONFLICT (id) DO UPDATE SET
               message_id = excluded.message_id,
               reply_message_id = coalesce(reply_message_id, excluded.reply_message_id),
               requested_model = coalesce(requested_model, excluded.requested_model),
               fingerprint = coalesce(fingerprint, excluded.fingerprint),
               accepted_at = min(coalesce(accepted_at, excluded.accepted_at), excluded.accepted_at)
           WHERE user_id = excluded.user_id AND session_id = excluded.session_id
           RETURNING status AS "status!", accepted_at AS "accepted_at?",
               reply_message_id AS "reply_message_id?", error_code AS "error_code?""#,
        task,
        owner,
        session_id,
        message,
        reply,
        model,
        fingerprint,
        at
    )
    .fetch_optional(connection)
    .await?
    .ok_or_else(|| foreign(event.task_id))?;
    recorded(&row.status, row.accepted_at, row.reply_message_id.as_deref(), row.error_code.as_deref())
}

/// Keeps a task's end, unless one of the same or a later attempt is known: then there is nothing to do (`None`).
pub(super) async fn end(
    connection: &mut SqliteConnection,
    event: &ReplyCompleted,
    session: SessionState,
) -> sqlx::Result<Option<Recorded>> {
    let task = &event.task;
    let (key, session_id, owner) = (task.id.to_string(), event.session_id.to_string(), event.user_id.as_str());
    let message = task.message_id.map(|id| id.to_string());
    let reply = task.reply.message_id.map(|id| id.to_string());
    let (word, attempt) = (task.status.as_str(), i64::from(task.attempt));
    let (provider, model) = (task.provider.as_deref(), task.model.as_deref());
    let (input, output, cached) =
        (count(task.usage.input_tokens), count(task.usage.output_tokens), count(task.usage.cached_tokens));
    let times = &task.timings;
    let (accepted, started) = (millis(times.accepted_at), millis(times.started_at));
    let (first_token, finished) = (millis(times.first_token_at), millis(times.finished_at));
    let error = session.keep(task.error.as_ref());
    let error_code = error.map(|error| error.code.as_str());
    let error_message = error.map(|error| error.message.as_str());
    let error_retryable = error.map(|error| i64::from(error.retryable));
    let details = session.keep(task.details.to_column());
    let cost = count(task.details.cost_micro_usd);
    let row = sqlx::query!(
        r#"INSERT INTO tasks (id, user_id, session_id, message_id, reply_message_id, status, attempt, provider, model,
               input_tokens, output_tokens, cached_tokens, accepted_at, started_at, first_token_at, finished_at,
               error_code, error_message, error_retryable, details, cost_micro_usd)
           VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)
           ON CONFLICT (id) DO UPDATE SET
               message_id = coalesce(message_id, excluded.message_id),
               reply_message_id = coalesce(excluded.reply_message_id, reply_message_id),
               status = excluded.status, attempt = excluded.attempt,
               provider = excluded.provider, model = excluded.model,
               input_tokens = excluded.input_tokens, output_tokens = excluded.output_tokens,
               cached_tokens = excluded.cached_tokens,
               accepted_at = min(coalesce(accepted_at, excluded.accepted_at), coalesce(excluded.accepted_at, accepted_at)),
               started_at = excluded.started_at, first_token_at = excluded.first_token_at,
               finished_at = excluded.finished_at,
               error_code = excluded.error_code, error_message = excluded.error_message,
               error_retryable = excluded.error_retryable,
               details = excluded.details, cost_micro_usd = excluded.cost_micro_usd
           WHERE user_id = excluded.user_id AND session_id = excluded.session_id
               AND (status = 'queued' OR attempt < excluded.attempt)
           RETURNING status AS "status!", accepted_at AS "accepted_at?",
               reply_message_id AS "reply_message_id?", error_code AS "error_code?""#,
        key,
        owner,
        session_id,
        message,
        reply,
        word,
        attempt,
        provider,
        model,
        input,
        output,
        cached,
        accepted,
        started,
        first_token,
        finished,
        error_code,
        error_message,
        error_retryable,
        details,
        cost
    )
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(row) = row {
        return recorded(&row.status, row.accepted_at, row.reply_message_id.as_deref(), row.error_code.as_deref())
            .map(Some);
    }
    let ours = sqlx::query_scalar!(
        "SELECT 1 FROM tasks WHERE id = ? AND user_id = ? AND session_id = ?",
        key,
        owner,
        session_id
    )
    .fetch_optional(connection)
    .await?;
    if ours.is_some() { Ok(None) } else { Err(foreign(task.id)) }
}

/// Forgets of a session's tasks what could tell what was said. The rows stay: their ids are known to be deleted ones.
pub(super) async fn erase(connection: &mut SqliteConnection, session: SessionId) -> sqlx::Result<()> {
    let session = session.to_string();
    sqlx::query!(
        "UPDATE tasks SET requested_model = NULL, fingerprint = NULL, error_code = NULL, error_message = NULL,
             error_retryable = NULL, details = NULL
         WHERE session_id = ?",
        session
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn find(
    connection: &mut SqliteConnection,
    user: &UserId,
    task: TaskId,
) -> sqlx::Result<Lookup<StoredTask>> {
    let (key, owner) = (task.to_string(), user.as_str());
    let row = sqlx::query!(
        r#"SELECT t.session_id, t.message_id, t.reply_message_id, t.status, t.attempt, t.fingerprint, t.provider, t.model,
               t.input_tokens, t.output_tokens, t.cached_tokens, t.accepted_at, t.started_at, t.first_token_at,
               t.finished_at, t.error_code, t.error_message, t.error_retryable, t.details, s.deleted_at,
               r.content AS "reply?"
           FROM tasks AS t
           JOIN sessions AS s ON s.id = t.session_id
           LEFT JOIN messages AS r ON r.task_id = t.id AND r.role = 'assistant'
           WHERE t.id = ? AND t.user_id = ?"#,
        key,
        owner
    )
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(Lookup::Unknown) };
    if row.deleted_at.is_some() {
        return Ok(Lookup::Deleted);
    }
    let error = row.error_code.map(|code| TaskError {
        code,
        message: row.error_message.unwrap_or_default(),
        retryable: row.error_retryable == Some(1),
    });
    let found = Task {
        id: task,
        session_id: Some(id(&row.session_id)?),
        message_id: row.message_id.as_deref().map(id).transpose()?,
        status: status(&row.status)?,
        attempt: u32::try_from(row.attempt).unwrap_or(u32::MAX),
        reply: Reply {
            message_id: row.reply_message_id.as_deref().map(id).transpose()?,
            content: row.reply.unwrap_or_default(),
        },
        provider: row.provider,
        model: row.model,
        usage: usage(row.input_tokens, row.output_tokens, row.cached_tokens),
        timings: timings(row.accepted_at, row.started_at, row.first_token_at, row.finished_at)?,
        error,
        details: TaskDetails::from_column(row.details.as_deref()),
    };
    Ok(Lookup::Found(StoredTask { task: found, fingerprint: row.fingerprint }))
}

fn recorded(
    word: &str,
    accepted_at: Option<i64>,
    reply: Option<&str>,
    error_code: Option<&str>,
) -> sqlx::Result<Recorded> {
    Ok(Recorded {
        status: status(word)?,
        accepted_at,
        reply_message_id: reply.map(id).transpose()?,
        was_refused: error_code == Some(codes::SESSION_BUSY),
    })
}

fn foreign(task: TaskId) -> sqlx::Error {
    refused(format!("task {task} belongs to another session or user"))
}
