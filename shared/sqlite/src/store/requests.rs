//! Stored requests across users, for operators who have them sent again.
//!
//! They are walked by the index of a session's messages, which keeps the order that matters without a sort, page after page
//! once through.

use async_trait::async_trait;
use chrono::DateTime;
use futures_util::TryStreamExt as _;
use parlance_shared::{
    UserId,
    content::TurnInput,
    event::{MessageSubmitted, Strategy},
    port::{
        PortError,
        store::{RequestFilter, RequestPosition, StoreAdmin, StoredRequest},
    },
};
use sqlx::SqliteConnection;

use super::{
    SqliteStore,
    values::{id, metadata, status},
};
use crate::database::port_error;

const PAGE: u32 = 500;
/// Bounds what one page holds in memory, but for its last request: each has a whole message.
const PAGE_BYTES: usize = 4 << 20;

#[async_trait]
impl StoreAdmin for SqliteStore {
    async fn requests(
        &self,
        filter: &RequestFilter,
        after: Option<&RequestPosition>,
        limit: u32,
    ) -> Result<Vec<StoredRequest>, PortError> {
        let mut connection = self.database.read().await?;
        list(&mut connection, filter, after, limit.min(PAGE)).await.map_err(port_error)
    }
}

async fn list(
    connection: &mut SqliteConnection,
    filter: &RequestFilter,
    after: Option<&RequestPosition>,
    limit: u32,
) -> sqlx::Result<Vec<StoredRequest>> {
    let since = filter.since.map_or(i64::MIN, |since| since.timestamp_micros());
    let until = filter.until.map_or(i64::MAX, |until| until.timestamp_micros());
    let task = filter.task.map(|task| task.to_string());
    let session = match (filter.session, &task) {
        (Some(session), _) => Some(session.to_string()),
        (None, Some(task)) => match session_of(connection, task).await? {
            Some(session) => Some(session),
            None => return Ok(Vec::new()),
        },
        (None, None) => None,
    };
    let (first, last) = match session {
        Some(session) => (session.clone(), session),
        // Around every id there is.
        None => (String::new(), "~".to_owned()),
    };
    let (from, at, message) = match after {
        Some(after) => {
            (after.session_id.to_string(), after.accepted_at.timestamp_micros(), after.message_id.to_string())
        }
        None => (first, i64::MIN, String::new()),
    };
    let mut rows = sqlx::query!(
        "SELECT m.task_id, m.id, m.session_id, m.user_id, m.content, m.metadata, m.sorts_at, m.input,
                t.reply_message_id AS 'reply_message_id!', t.requested_model, t.fingerprint, t.status
         FROM messages AS m
         JOIN tasks AS t ON t.id = m.task_id
         JOIN sessions AS s ON s.id = m.session_id
         WHERE m.role = 'user' AND s.deleted_at IS NULL AND t.reply_message_id IS NOT NULL
           AND m.sorts_at >= ?1 AND m.sorts_at < ?2
           AND (m.session_id, m.sorts_at, m.id) > (?3, ?4, ?5) AND m.session_id <= ?6
           AND (?7 IS NULL OR m.task_id = ?7)
         ORDER BY m.session_id, m.sorts_at, m.id LIMIT ?8",
        since,
        until,
        from,
        at,
        message,
        last,
        task,
        limit
    )
    .fetch(connection);
    let (mut requests, mut bytes) = (Vec::new(), 0);
    while bytes < PAGE_BYTES
        && let Some(row) = rows.try_next().await?
    {
        bytes += row.content.len() + row.input.as_ref().map_or(0, String::len);
        requests.push(StoredRequest {
            status: status(&row.status)?,
            message: MessageSubmitted {
                task_id: id(&row.task_id)?,
                session_id: id(&row.session_id)?,
                message_id: id(&row.id)?,
                reply_message_id: id(&row.reply_message_id)?,
                user_id: UserId::new(row.user_id),
                content: row.content,
                model: row.requested_model,
                strategy: Strategy::Enqueue,
                metadata: metadata(row.metadata)?,
                accepted_at: DateTime::from_timestamp_micros(row.sorts_at).unwrap_or_default(),
                fingerprint: row.fingerprint,
                input: TurnInput::from_column(row.input.as_deref())
                    .map_err(|error| sqlx::Error::Decode(error.into()))?,
                looked_at: None,
            },
        });
    }
    Ok(requests)
}

/// Narrows the walk down to one session.
async fn session_of(connection: &mut SqliteConnection, task: &str) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!("SELECT session_id FROM tasks WHERE id = ?", task).fetch_optional(connection).await
}
