//! Messages: what the user said and what the model said, one of each per task. Where they stand is their task's to say.

use futures_util::TryStreamExt as _;
use parlance_shared::{
    MessageId, SessionId, TaskId, UserId,
    content::TurnInput,
    event::{MessageSubmitted, ReplyCompleted},
    message::{Message, Role},
    page::{Page, PagePosition, PageRequest},
    task::TaskDetails,
};
use sqlx::SqliteConnection;

use super::{
    page_builder::{PageBuilder, start},
    values::{id, json, status, time, timings, usage},
};
use crate::database::refused;

/// Stores the user's message and returns the id it is stored under: that of the task's first, should the request have
/// been made twice.
pub(super) async fn put_users(connection: &mut SqliteConnection, event: &MessageSubmitted) -> sqlx::Result<MessageId> {
    let (task, message, session) =
        (event.task_id.to_string(), event.message_id.to_string(), event.session_id.to_string());
    let (owner, content, metadata) = (event.user_id.as_str(), event.content.as_str(), json(event.metadata.as_ref()));
    let (at, sorts_at) = (event.accepted_at.timestamp_millis(), event.accepted_at.timestamp_micros());
    let input = event.input.to_column();
    let stored = sqlx::query_scalar!(
        r#"INSERT INTO messages (task_id, role, id, session_id, user_id, content, metadata, created_at, sorts_at, input)
           VALUES (?1, 'user', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
           ON CONFLICT (task_id, role) DO UPDATE SET
               created_at = min(created_at, excluded.created_at), sorts_at = min(sorts_at, excluded.sorts_at)
           WHERE user_id = excluded.user_id AND session_id = excluded.session_id
           RETURNING id AS "id!""#,
        task,
        message,
        session,
        owner,
        content,
        metadata,
        at,
        sorts_at,
        input
    )
    .fetch_optional(connection)
    .await?
    .ok_or_else(|| refused(format!("task {task} belongs to another session or user")))?;
    id(&stored)
}

/// Stores or replaces the reply.
pub(super) async fn put_reply(
    connection: &mut SqliteConnection,
    event: &ReplyCompleted,
    reply: MessageId,
    ended_at: i64,
    accepted_at: Option<i64>,
) -> sqlx::Result<()> {
    let (task, reply, session) = (event.task.id.to_string(), reply.to_string(), event.session_id.to_string());
    let (owner, content) = (event.user_id.as_str(), event.task.reply.content.as_str());
    let sorts_at = reply_sorts_at(ended_at, accepted_at);
    sqlx::query!(
        "INSERT INTO messages (task_id, role, id, session_id, user_id, content, created_at, sorts_at)
         VALUES (?1, 'assistant', ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (task_id, role) DO UPDATE SET
             id = excluded.id, content = excluded.content, created_at = excluded.created_at,
             sorts_at = excluded.sorts_at",
        task,
        reply,
        session,
        owner,
        content,
        ended_at,
        sorts_at
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes back what an earlier attempt had said, now that a later one ended without a word.
pub(super) async fn remove_reply(connection: &mut SqliteConnection, task: TaskId) -> sqlx::Result<()> {
    let task = task.to_string();
    sqlx::query!("DELETE FROM messages WHERE task_id = ? AND role = 'assistant'", task).execute(connection).await?;
    Ok(())
}

/// Puts a reply that was stored before its request behind it.
pub(super) async fn sort_reply_after(
    connection: &mut SqliteConnection,
    task: TaskId,
    accepted_at: Option<i64>,
) -> sqlx::Result<()> {
    let (task, earliest) = (task.to_string(), reply_sorts_at(i64::MIN, accepted_at));
    sqlx::query!(
        "UPDATE messages SET sorts_at = max(created_at * 1000, ?2) WHERE task_id = ?1 AND role = 'assistant'",
        task,
        earliest
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A reply comes after its message, also when both are of one millisecond or the worker's clock is behind. Takes
/// milliseconds, gives microseconds.
fn reply_sorts_at(ended_at: i64, accepted_at: Option<i64>) -> i64 {
    let sorts_at = accepted_at.map_or(ended_at, |accepted_at| ended_at.max(accepted_at.saturating_add(1)));
    sorts_at.saturating_mul(1_000)
}

/// Erases what was said in a session.
pub(super) async fn erase(connection: &mut SqliteConnection, session: SessionId) -> sqlx::Result<()> {
    let session = session.to_string();
    sqlx::query!("DELETE FROM messages WHERE session_id = ?", session).execute(connection).await?;
    Ok(())
}

/// Which messages are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Branches {
    /// Those that no later turn stands in for.
    Current,
    /// All.
    All,
}

pub(super) async fn list(
    connection: &mut SqliteConnection,
    user: &UserId,
    session: SessionId,
    branches: Branches,
    page: &PageRequest,
) -> sqlx::Result<Page<Message>> {
    let (key, owner) = (session.to_string(), user.as_str());
    let (after_at, after_id) = start(page.from.as_ref(), i64::MIN);
    let all = branches == Branches::All;
    let mut builder = PageBuilder::new(page.limit);
    let limit = builder.rows_to_read();
    let mut rows = sqlx::query!(
        r#"SELECT m.id, m.task_id, m.role, m.content, m.created_at, m.sorts_at, m.input, t.status, t.input_tokens,
               t.output_tokens, t.cached_tokens, t.accepted_at, t.started_at, t.first_token_at, t.finished_at, t.details,
               (SELECT b.task_id FROM branches AS b
                WHERE b.session_id = m.session_id AND b.from_at <= t.accepted_at AND t.accepted_at < b.at
                ORDER BY b.at, b.task_id LIMIT 1) AS "superseded_by?: String"
           FROM messages AS m JOIN tasks AS t ON t.id = m.task_id
           WHERE m.session_id = ?1 AND m.user_id = ?2 AND (m.sorts_at, m.id) > (?3, ?4)
               AND (?6 OR NOT EXISTS (SELECT 1 FROM branches AS b
                    WHERE b.session_id = m.session_id AND b.from_at <= t.accepted_at AND t.accepted_at < b.at))
           ORDER BY m.sorts_at, m.id LIMIT ?5"#,
        key,
        owner,
        after_at,
        after_id,
        limit,
        all
    )
    .fetch(connection);
    while let Some(row) = rows.try_next().await? {
        if builder.is_full() {
            return Ok(builder.finish_with_more());
        }
        let role = if row.role == Role::User.as_str() { Role::User } else { Role::Assistant };
        let timings = timings(row.accepted_at, row.started_at, row.first_token_at, row.finished_at)?;
        let at_reply = role == Role::Assistant;
        let input = TurnInput::from_column(row.input.as_deref()).map_err(|error| sqlx::Error::Decode(error.into()))?;
        let details = if at_reply { TaskDetails::from_column(row.details.as_deref()) } else { TaskDetails::default() };
        let superseded_by = row.superseded_by.as_deref().map(id).transpose()?;
        let bytes = row.content.len() + row.input.map_or(0, |input| input.len());
        let message = Message {
            id: id(&row.id)?,
            session_id: session,
            task_id: id(&row.task_id)?,
            role,
            content: row.content,
            status: status(&row.status)?,
            usage: at_reply.then(|| usage(row.input_tokens, row.output_tokens, row.cached_tokens)),
            timings: at_reply.then_some(timings),
            created_at: time(row.created_at)?,
            parts: input.parts,
            tool_results: input.tool_results,
            tool_calls: details.tool_calls,
            superseded_by: all.then_some(superseded_by),
        };
        builder.push(message, bytes, PagePosition { at: row.sorts_at, id: row.id });
    }
    Ok(builder.finish())
}
