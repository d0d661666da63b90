//! Reads single turns, and what stands in for them. A row of `branches` says all by itself: whatever was accepted within it
//! is no longer part of the conversation.

use chrono::DateTime;
use parlance_shared::{
    SessionId, UserId,
    content::TurnInput,
    event::{MessageSubmitted, Strategy},
    port::store::{Lookup, StoredTurn, TurnOf},
};
use sqlx::PgConnection;

use super::values::{id, metadata};
use crate::text::{from_sql, to_sql};

pub(super) async fn find(
    connection: &mut PgConnection,
    user: &UserId,
    session: SessionId,
    turn: TurnOf,
) -> sqlx::Result<Lookup<StoredTurn>> {
    let (owner, key) = (to_sql(user.as_str()), session.to_string());
    let (task, message) = match turn {
        TurnOf::Task(task) => (Some(task.to_string()), None),
        TurnOf::Message(message) => (None, Some(message.to_string())),
    };
    let deleted = sqlx::query_scalar!("SELECT deleted_at FROM sessions WHERE id = $1 AND user_id = $2", key, &*owner)
        .fetch_optional(&mut *connection)
        .await?;
    if deleted.flatten().is_some() {
        return Ok(Lookup::Deleted);
    }
    let row = sqlx::query!(
        r#"SELECT m.task_id, m.id, m.content, m.metadata::text AS metadata, m.sorts_at, m.input,
               t.reply_message_id AS "reply_message_id!", t.requested_model, t.fingerprint,
               (SELECT b.task_id FROM branches AS b
                WHERE b.session_id = m.session_id AND b.from_at <= t.accepted_at AND t.accepted_at < b.at
                ORDER BY b.at, b.task_id LIMIT 1) AS "superseded_by?",
               NOT EXISTS (SELECT FROM messages AS later
                           WHERE later.session_id = m.session_id AND later.role = 'user'
                               AND (later.sorts_at, later.id) > (m.sorts_at, m.id)) AS "is_last!"
           FROM messages AS m JOIN tasks AS t ON t.id = m.task_id
           WHERE m.session_id = $1 AND m.user_id = $2 AND m.role = 'user' AND t.reply_message_id IS NOT NULL
               AND (m.task_id = $3 OR m.id = $4)
           ORDER BY m.sorts_at DESC LIMIT 1"#,
        key,
        &*owner,
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
            content: from_sql(row.content),
            model: row.requested_model.map(from_sql),
            strategy: Strategy::Enqueue,
            metadata: metadata(row.metadata)?,
            accepted_at: DateTime::from_timestamp_micros(row.sorts_at).unwrap_or_default(),
            fingerprint: row.fingerprint.map(from_sql),
            input: TurnInput::from_column(row.input.as_deref()).map_err(|error| sqlx::Error::Decode(error.into()))?,
            looked_at: None,
        },
        superseded_by: row.superseded_by.as_deref().map(id).transpose()?,
        is_last: row.is_last,
    }))
}
