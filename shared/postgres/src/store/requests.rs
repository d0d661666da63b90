//! Stored requests across users, for operators who have them sent again.
//!
//! Those of a session are walked by the session's index, all others by the index of time: in both, a page is read without
//! a sort and without the rows outside of the time asked for. In both orders a session's requests come as accepted.

use async_trait::async_trait;
use chrono::DateTime;
use futures_util::{Stream, TryStreamExt as _};
use parlance_shared::{
    UserId,
    content::TurnInput,
    event::{MessageSubmitted, Strategy},
    port::{
        PortError,
        store::{RequestFilter, RequestPosition, StoreAdmin, StoredRequest},
    },
};
use sqlx::PgConnection;

use super::{
    PostgresStore,
    values::{id, metadata, status},
};
use crate::text::from_sql;

const PAGE: u32 = 100;
/// Bounds what one page holds in memory, but for its last request: each has a whole message.
const PAGE_BYTES: usize = 4 << 20;

#[async_trait]
impl StoreAdmin for PostgresStore {
    async fn requests(
        &self,
        filter: &RequestFilter,
        after: Option<&RequestPosition>,
        limit: u32,
    ) -> Result<Vec<StoredRequest>, PortError> {
        let input = (filter, after, limit.min(PAGE));
        self.database
            .run(&input, |connection, (filter, after, limit)| Box::pin(list(connection, filter, *after, *limit)))
            .await
    }
}

/// A row of either walk.
struct Row {
    task_id: String,
    id: String,
    session_id: String,
    user_id: String,
    content: String,
    metadata: Option<String>,
    sorts_at: i64,
    input: Option<String>,
    reply_message_id: String,
    requested_model: Option<String>,
    fingerprint: Option<String>,
    status: String,
}

async fn list(
    connection: &mut PgConnection,
    filter: &RequestFilter,
    after: Option<&RequestPosition>,
    limit: u32,
) -> sqlx::Result<Vec<StoredRequest>> {
    let since = filter.since.map_or(i64::MIN, |since| since.timestamp_micros());
    let until = filter.until.map_or(i64::MAX, |until| until.timestamp_micros());
    // The place to go on from, or right before the first one in time.
    let (at, message) = after
        .map_or((since, String::new()), |after| (after.accepted_at.timestamp_micros(), after.message_id.to_string()));
    let task = filter.task.map(|task| task.to_string());
    let session = match (filter.session, &task) {
        (Some(session), _) => Some(session.to_string()),
        (None, Some(task)) => {
            let found = sqlx::query_scalar!("SELECT session_id FROM tasks WHERE id = $1", task);
            match found.fetch_optional(&mut *connection).await? {
                Some(session) => Some(session),
                None => return Ok(Vec::new()),
            }
        }
        (None, None) => None,
    };
    let rows = match session {
        Some(session) => of_session(connection, &session, task.as_deref(), (since, until), (at, &message), limit).await,
        None => of_time(connection, until, (at, &message), limit).await,
    };
    rows?.into_iter().map(request).collect()
}

async fn of_session(
    connection: &mut PgConnection,
    session: &str,
    task: Option<&str>,
    (since, until): (i64, i64),
    (at, message): (i64, &str),
    limit: u32,
) -> sqlx::Result<Vec<Row>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT m.task_id, m.id, m.session_id, m.user_id, m.content, m.metadata::text AS metadata, m.sorts_at, m.input,
               t.reply_message_id AS "reply_message_id!", t.requested_model, t.fingerprint, t.status
           FROM messages AS m
           JOIN tasks AS t ON t.id = m.task_id
           JOIN sessions AS s ON s.id = m.session_id
           WHERE m.session_id = $1 AND m.role = 'user' AND s.deleted_at IS NULL AND t.reply_message_id IS NOT NULL
             AND m.sorts_at >= $2 AND m.sorts_at < $3 AND (m.sorts_at, m.id) > ($4, $5)
             AND ($6::text IS NULL OR m.task_id = $6)
           ORDER BY m.sorts_at, m.id LIMIT $7"#,
        session,
        since,
        until,
        at,
        message,
        task,
        i64::from(limit)
    )
    .fetch(connection);
    page(rows).await
}

async fn of_time(
    connection: &mut PgConnection,
    until: i64,
    (at, message): (i64, &str),
    limit: u32,
) -> sqlx::Result<Vec<Row>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT m.task_id, m.id, m.session_id, m.user_id, m.content, m.metadata::text AS metadata, m.sorts_at, m.input,
               t.reply_message_id AS "reply_message_id!", t.requested_model, t.fingerprint, t.status
           FROM messages AS m
           JOIN tasks AS t ON t.id = m.task_id
           JOIN sessions AS s ON s.id = m.session_id
           WHERE m.role = 'user' AND s.deleted_at IS NULL AND t.reply_message_id IS NOT NULL
             AND m.sorts_at < $1 AND (m.sorts_at, m.id) > ($2, $3)
           ORDER BY m.sorts_at, m.id LIMIT $4"#,
        until,
        at,
        message,
        i64::from(limit)
    )
    .fetch(connection);
    page(rows).await
}

/// The first rows, up to the bound.
async fn page(mut rows: impl Stream<Item = sqlx::Result<Row>> + Unpin) -> sqlx::Result<Vec<Row>> {
    let (mut page, mut bytes) = (Vec::new(), 0);
    while bytes < PAGE_BYTES
        && let Some(row) = rows.try_next().await?
    {
        bytes += row.content.len() + row.input.as_ref().map_or(0, String::len);
        page.push(row);
    }
    Ok(page)
}

fn request(row: Row) -> sqlx::Result<StoredRequest> {
    Ok(StoredRequest {
        status: status(&row.status)?,
        message: MessageSubmitted {
            task_id: id(&row.task_id)?,
            session_id: id(&row.session_id)?,
            message_id: id(&row.id)?,
            reply_message_id: id(&row.reply_message_id)?,
            user_id: UserId::new(from_sql(row.user_id)),
            content: from_sql(row.content),
            model: row.requested_model.map(from_sql),
            strategy: Strategy::Enqueue,
            metadata: metadata(row.metadata)?,
            accepted_at: DateTime::from_timestamp_micros(row.sorts_at).unwrap_or_default(),
            fingerprint: row.fingerprint.map(from_sql),
            input: TurnInput::from_column(row.input.as_deref()).map_err(|error| sqlx::Error::Decode(error.into()))?,
            looked_at: None,
        },
    })
}
