//! Reads sessions and their tombstones.

use chrono::DateTime;
use futures_util::TryStreamExt as _;
use parlance_shared::{
    SessionId, UserId,
    event::Strategy,
    page::{Page, PagePosition, PageRequest},
    port::store::Lookup,
    session::Session,
};
use sqlx::PgConnection;

use super::{
    page_builder::PageBuilder,
    values::{id, metadata, page_time},
};
use crate::text::{from_sql, to_sql};

pub(super) async fn find(
    connection: &mut PgConnection,
    user: &UserId,
    session: SessionId,
) -> sqlx::Result<Lookup<Session>> {
    let row = sqlx::query!(
        "SELECT heading, instructions, metadata::text AS metadata, strategy, created_at, updated_at, deleted_at
         FROM sessions WHERE id = $1 AND user_id IN ($2, '')",
        session.to_string(),
        &*to_sql(user.as_str())
    )
    .fetch_optional(connection)
    .await?;
    Ok(match row {
        None => Lookup::Unknown,
        Some(row) if row.deleted_at.is_some() => Lookup::Deleted,
        Some(row) => Lookup::Found(Session {
            id: session,
            heading: row.heading.map(from_sql),
            instructions: row.instructions.map(from_sql),
            metadata: metadata(row.metadata)?,
            strategy: row.strategy.as_deref().and_then(Strategy::from_word),
            created_at: Some(row.created_at),
            updated_at: Some(row.updated_at),
        }),
    })
}

/// Positions name milliseconds.
pub(super) async fn list(
    connection: &mut PgConnection,
    user: &UserId,
    page: &PageRequest,
) -> sqlx::Result<Page<Session>> {
    let (before_at, before_id) = match &page.from {
        Some(position) => (page_time(position.at), to_sql(&position.id)),
        None => (page_time(i64::MAX), "".into()),
    };
    let mut builder = PageBuilder::new(page.limit);
    let mut rows = sqlx::query!(
        "SELECT id, heading, instructions, metadata::text AS metadata, strategy, created_at, updated_at FROM sessions
         WHERE user_id = $1 AND deleted_at IS NULL AND (created_at, id) < ($2, $3)
         ORDER BY created_at DESC, id DESC LIMIT $4",
        &*to_sql(user.as_str()),
        before_at,
        &*before_id,
        builder.rows_to_read()
    )
    .fetch(connection);
    while let Some(row) = rows.try_next().await? {
        if builder.is_full() {
            return Ok(builder.finish_with_more());
        }
        let bytes = [&row.heading, &row.instructions, &row.metadata].into_iter().flatten().map(String::len).sum();
        let session = Session {
            id: id(&row.id)?,
            heading: row.heading.map(from_sql),
            instructions: row.instructions.map(from_sql),
            metadata: metadata(row.metadata)?,
            strategy: row.strategy.as_deref().and_then(Strategy::from_word),
            created_at: Some(row.created_at),
            updated_at: Some(row.updated_at),
        };
        builder.push(session, bytes, PagePosition { at: DateTime::timestamp_millis(&row.created_at), id: row.id });
    }
    Ok(builder.finish())
}
