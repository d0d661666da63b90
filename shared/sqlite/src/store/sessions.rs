//! Sessions and their tombstones.

use futures_util::TryStreamExt as _;
use parlance_shared::{
    SessionId, UserId,
    event::{SessionChanged, SessionDeleted, Strategy},
    page::{Page, PagePosition, PageRequest},
    port::store::Lookup,
    session::Session,
};
use sqlx::SqliteConnection;

use super::{
    page_builder::{PageBuilder, start},
    users,
    values::{id, json, metadata, time},
};
use crate::database::refused;

/// Whether there is still a place for what is said in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionState {
    Kept,
    Deleted,
}

impl SessionState {
    /// The value, if it may be stored.
    pub(super) fn keep<T>(self, value: Option<T>) -> Option<T> {
        value.filter(|_| self == Self::Kept)
    }

    fn from_tombstone(deleted_at: Option<i64>) -> Self {
        if deleted_at.is_some() { Self::Deleted } else { Self::Kept }
    }
}

/// Makes or moves the session to span `began_at..=ended_at`, and its owner's row with it.
pub(super) async fn touch(
    connection: &mut SqliteConnection,
    user: &UserId,
    session: SessionId,
    began_at: i64,
    ended_at: i64,
) -> sqlx::Result<SessionState> {
    let (owner, key) = (user.as_str(), session.to_string());
    // `created_at` is left out of the common path, as it would rewrite the index by which sessions are listed.
    let touched = sqlx::query!(
        r#"INSERT INTO sessions (id, user_id, created_at, updated_at) VALUES (?1, ?2, ?3, ?4)
           ON CONFLICT (id) DO UPDATE SET updated_at = max(updated_at, excluded.updated_at)
           WHERE user_id = excluded.user_id AND created_at <= excluded.created_at
           RETURNING created_at AS "created_at!", deleted_at AS "deleted_at?""#,
        key,
        owner,
        began_at,
        ended_at
    )
    .fetch_optional(&mut *connection)
    .await?;
    let (created_at, deleted_at) = match touched {
        Some(row) => (row.created_at, row.deleted_at),
        None => {
            let row = sqlx::query!(
                r#"UPDATE sessions SET created_at = min(created_at, ?3), updated_at = max(updated_at, ?4)
                   WHERE id = ?1 AND user_id = ?2
                   RETURNING created_at AS "created_at!", deleted_at AS "deleted_at?""#,
                key,
                owner,
                began_at,
                ended_at
            )
            .fetch_optional(&mut *connection)
            .await?
            .ok_or_else(|| foreign(session))?;
            (row.created_at, row.deleted_at)
        }
    };
    // Only an event that is its session's earliest can be its user's earliest.
    if created_at == began_at {
        users::seen(connection, user, began_at).await?;
    }
    Ok(SessionState::from_tombstone(deleted_at))
}

/// Takes over the fields that the event sets, each unless a later change has set it.
pub(super) async fn change(connection: &mut SqliteConnection, event: &SessionChanged) -> sqlx::Result<()> {
    let (key, owner, at) = (event.session_id.to_string(), event.user_id.as_str(), event.changed_at.timestamp_millis());
    let revision = format!("{:016}.{}", at.max(0), event.change_id);
    let heading = event.heading.as_ref().and_then(Option::as_deref);
    let heading_rev = event.heading.is_some().then_some(revision.as_str());
    let instructions = event.instructions.as_ref().and_then(Option::as_deref);
    let instructions_rev = event.instructions.is_some().then_some(revision.as_str());
    let metadata = json(event.metadata.as_ref().and_then(Option::as_ref));
    let metadata_rev = event.metadata.is_some().then_some(revision.as_str());
    let strategy = event.strategy.flatten().map(Strategy::as_str);
    let strategy_rev = event.strategy.is_some().then_some(revision.as_str());
    // No revision (the field is absent) compares as null, so the field is left alone; neither does a tombstone take any.
    let changed = sqlx::query!(
        r#"INSERT INTO sessions (id, user_id, created_at, updated_at, heading, heading_rev, instructions,
               instructions_rev, metadata, metadata_rev, strategy, strategy_rev)
           VALUES (?1, ?2, ?3, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
           ON CONFLICT (id) DO UPDATE SET
               created_at = min(created_at, excluded.created_at),
               updated_at = max(updated_at, excluded.updated_at),
               heading = iif(deleted_at IS NULL AND excluded.heading_rev > coalesce(heading_rev, ''),
                   excluded.heading, heading),
               heading_rev = iif(deleted_at IS NULL AND excluded.heading_rev > coalesce(heading_rev, ''),
                   excluded.heading_rev, heading_rev),
               instructions = iif(deleted_at IS NULL AND excluded.instructions_rev > coalesce(instructions_rev, ''),
                   excluded.instructions, instructions),
               instructions_rev = iif(deleted_at IS NULL AND excluded.instructions_rev > coalesce(instructions_rev, ''),
                   excluded.instructions_rev, instructions_rev),
               metadata = iif(deleted_at IS NULL AND excluded.metadata_rev > coalesce(metadata_rev, ''),
                   excluded.metadata, metadata),
               metadata_rev = iif(deleted_at IS NULL AND excluded.metadata_rev > coalesce(metadata_rev, ''),
                   excluded.metadata_rev, metadata_rev),
               strategy = iif(deleted_at IS NULL AND excluded.strategy_rev > coalesce(strategy_rev, ''),
                   excluded.strategy, strategy),
               strategy_rev = iif(deleted_at IS NULL AND excluded.strategy_rev > coalesce(strategy_rev, ''),
                   excluded.strategy_rev, strategy_rev)
           WHERE user_id = excluded.user_id
           RETURNING created_at AS "created_at!""#,
        key,
        owner,
        at,
        heading,
        heading_rev,
        instructions,
        instructions_rev,
        metadata,
        metadata_rev,
        strategy,
        strategy_rev
    )
    .fetch_optional(&mut *connection)
    .await?
    .ok_or_else(|| foreign(event.session_id))?;
    if changed.created_at == at {
        users::seen(connection, &event.user_id, at).await?;
    }
    Ok(())
}

/// Leaves a tombstone, also of a session that was never seen.
pub(super) async fn erase(connection: &mut SqliteConnection, event: &SessionDeleted) -> sqlx::Result<()> {
    let (key, owner, at) = (event.session_id.to_string(), event.user_id.as_str(), event.deleted_at.timestamp_millis());
    let erased = sqlx::query!(
        r#"INSERT INTO sessions (id, user_id, created_at, updated_at, deleted_at) VALUES (?1, ?2, ?3, ?3, ?3)
           ON CONFLICT (id) DO UPDATE SET
               created_at = min(created_at, excluded.created_at),
               updated_at = max(updated_at, excluded.updated_at),
               deleted_at = min(coalesce(deleted_at, excluded.deleted_at), excluded.deleted_at),
               heading = NULL, heading_rev = NULL,
               instructions = NULL, instructions_rev = NULL,
               metadata = NULL, metadata_rev = NULL,
               strategy = NULL, strategy_rev = NULL
           WHERE user_id = excluded.user_id
           RETURNING created_at AS "created_at!""#,
        key,
        owner,
        at
    )
    .fetch_optional(&mut *connection)
    .await?
    .ok_or_else(|| foreign(event.session_id))?;
    if erased.created_at == at {
        users::seen(connection, &event.user_id, at).await?;
    }
    Ok(())
}

pub(super) async fn find(
    connection: &mut SqliteConnection,
    user: &UserId,
    session: SessionId,
) -> sqlx::Result<Lookup<Session>> {
    let (key, owner) = (session.to_string(), user.as_str());
    let row = sqlx::query!(
        "SELECT heading, instructions, metadata, strategy, created_at, updated_at, deleted_at
         FROM sessions WHERE id = ? AND user_id IN (?, '')",
        key,
        owner
    )
    .fetch_optional(connection)
    .await?;
    Ok(match row {
        None => Lookup::Unknown,
        // Also that of an erased user, which is nobody's any more.
        Some(row) if row.deleted_at.is_some() => Lookup::Deleted,
        Some(row) => Lookup::Found(Session {
            id: session,
            heading: row.heading,
            instructions: row.instructions,
            metadata: metadata(row.metadata)?,
            strategy: row.strategy.as_deref().and_then(Strategy::from_word),
            created_at: Some(time(row.created_at)?),
            updated_at: Some(time(row.updated_at)?),
        }),
    })
}

pub(super) async fn list(
    connection: &mut SqliteConnection,
    user: &UserId,
    page: &PageRequest,
) -> sqlx::Result<Page<Session>> {
    let owner = user.as_str();
    let (before_at, before_id) = start(page.from.as_ref(), i64::MAX);
    let mut builder = PageBuilder::new(page.limit);
    let limit = builder.rows_to_read();
    let mut rows = sqlx::query!(
        "SELECT id, heading, instructions, metadata, strategy, created_at, updated_at FROM sessions
         WHERE user_id = ?1 AND deleted_at IS NULL AND (created_at, id) < (?2, ?3)
         ORDER BY created_at DESC, id DESC LIMIT ?4",
        owner,
        before_at,
        before_id,
        limit
    )
    .fetch(connection);
    while let Some(row) = rows.try_next().await? {
        if builder.is_full() {
            return Ok(builder.finish_with_more());
        }
        let bytes = [&row.heading, &row.instructions, &row.metadata].into_iter().flatten().map(String::len).sum();
        let session = Session {
            id: id(&row.id)?,
            heading: row.heading,
            instructions: row.instructions,
            metadata: metadata(row.metadata)?,
            strategy: row.strategy.as_deref().and_then(Strategy::from_word),
            created_at: Some(time(row.created_at)?),
            updated_at: Some(time(row.updated_at)?),
        };
        builder.push(session, bytes, PagePosition { at: row.created_at, id: row.id });
    }
    Ok(builder.finish())
}

fn foreign(session: SessionId) -> sqlx::Error {
    refused(format!("session {session} belongs to another user"))
}
