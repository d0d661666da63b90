//! Turns that stand in for earlier ones, and what was accepted between the two.
//!
//! A row says all by itself, so rows may come in any order: whatever was accepted within it is no longer part of the
//! conversation. What a turn stands in for stays so when that turn is superseded in its own time.

use parlance_shared::{
    SessionId, TaskId, UserId,
    content::TurnInput,
    event::{MessageSubmitted, Strategy},
    port::store::{Lookup, StoredTurn, TurnOf},
};
use sqlx::SqliteConnection;

use super::values::{id, metadata, time_micros};

/// Notes what an accepted message stands in for.
pub(super) async fn put(connection: &mut SqliteConnection, event: &MessageSubmitted) -> sqlx::Result<()> {
    let Some(replaced) = &event.input.replaces else { return Ok(()) };
    let (task, session, owner) = (event.task_id.to_string(), event.session_id.to_string(), event.user_id.as_str());
    let (replaces, from_at) = (replaced.task_id.to_string(), replaced.accepted_at.timestamp_millis());
    let at = event.accepted_at.timestamp_millis();
    // The same request made twice counts from its first time on, as its message does.
    sqlx::query!(
        "INSERT INTO branches (task_id, session_id, user_id, replaces, from_at, at) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (task_id) DO UPDATE SET at = min(at, excluded.at)
         WHERE user_id = excluded.user_id AND session_id = excluded.session_id",
        task,
        session,
        owner,
        replaces,
        from_at,
        at
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets what a task was to stand in for.
pub(super) async fn remove(connection: &mut SqliteConnection, task: TaskId) -> sqlx::Result<()> {
    let task = task.to_string();
    sqlx::query!("DELETE FROM branches WHERE task_id = ?", task).execute(connection).await?;
    Ok(())
}

/// Forgets a session's branches.
pub(super) async fn erase(connection: &mut SqliteConnection, session: SessionId) -> sqlx::Result<()> {
    let session = session.to_string();
    sqlx::query!("DELETE FROM branches WHERE session_id = ?", session).execute(connection).await?;
    Ok(())
}

pub(super) async fn find(
    connection: &mut SqliteConnection,
    user: &UserId,
    session: SessionId,
    turn: TurnOf,
) -> sqlx::Result<Lookup<StoredTurn>> {
    let (owner, key) = (user.as_str(), session.to_string());
    let (task, message) = match turn {
        TurnOf::Task(task) => (Some(task.to_string()), None),
        TurnOf::Message(message) => (None, Some(message.to_string())),
    };
    let deleted = sqlx::query_scalar!("SELECT deleted_at FROM sessions WHERE id = ? AND user_id = ?", key, owner)
        .fetch_optional(&mut *connection)
        .await?;
    if deleted.flatten().is_some() {
        return Ok(Lookup::Deleted);
    }
    let row = sqlx::query!(
        r#"SELECT m.task_id, m.id, m.content, m.metadata, m.sorts_at, m.input,
               t.reply_message_id AS "reply_message_id!", t.requested_model, t.fingerprint,
               (SELECT b.task_id FROM branches AS b
                WHERE b.session_id = m.session_id AND b.from_at <= t.accepted_at AND t.accepted_at < b.at
                ORDER BY b.at, b.task_id LIMIT 1) AS "superseded_by?: String",
               NOT EXISTS (SELECT 1 FROM messages AS later
                           WHERE later.session_id = m.session_id AND later.role = 'user'
                               AND (later.sorts_at, later.id) > (m.sorts_at, m.id)) AS "is_last!: bool"
           FROM messages AS m JOIN tasks AS t ON t.id = m.task_id
           WHERE m.session_id = ?1 AND m.user_id = ?2 AND m.role = 'user' AND t.reply_message_id IS NOT NULL
               AND (m.task_id = ?3 OR m.id = ?4)
           ORDER BY m.sorts_at DESC LIMIT 1"#,
        key,
        owner,
        task,
        message
    )
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(Lookup::Unknown) };
    Ok(Lookup::Found(StoredTurn {
        message: MessageSubmitted {
            task_id: id(&row.task_id)?,
            session_id: session,
            message_id: id(&row.id)?,
            reply_message_id: id(&row.reply_message_id)?,
            user_id: user.clone(),
            content: row.content,
            model: row.requested_model,
            strategy: Strategy::Enqueue,
            metadata: metadata(row.metadata)?,
            accepted_at: time_micros(row.sorts_at)?,
            fingerprint: row.fingerprint,
            input: TurnInput::from_column(row.input.as_deref()).map_err(|error| sqlx::Error::Decode(error.into()))?,
            looked_at: None,
        },
        superseded_by: row.superseded_by.as_deref().map(id).transpose()?,
        is_last: row.is_last,
    }))
}
