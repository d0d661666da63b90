//! A session was made or changed.

use parlance_shared::event::{SessionChanged, Strategy};
use sqlx::PgConnection;

use super::values::{json, to_millis};
use crate::{database::refused, text::to_sql, users::is_erased};

/// Takes over the fields that the event sets, each unless a later change has set it.
pub(super) async fn record(connection: &mut PgConnection, event: &SessionChanged) -> sqlx::Result<()> {
    if is_erased(connection, &event.user_id, event.session_id, event.changed_at).await? {
        return Ok(());
    }
    let (key, at) = (event.session_id.to_string(), to_millis(event.changed_at));
    let revision = format!("{:016}.{}", at.timestamp_millis().max(0), event.change_id);
    let heading = event.heading.as_ref().and_then(Option::as_deref).map(to_sql);
    let heading_rev = event.heading.is_some().then_some(revision.as_str());
    let instructions = event.instructions.as_ref().and_then(Option::as_deref).map(to_sql);
    let instructions_rev = event.instructions.is_some().then_some(revision.as_str());
    let metadata = json(event.metadata.as_ref().and_then(Option::as_ref));
    let metadata_rev = event.metadata.is_some().then_some(revision.as_str());
    let strategy = event.strategy.flatten().map(Strategy::as_str);
    let strategy_rev = event.strategy.is_some().then_some(revision.as_str());
    // No revision (the field is absent) compares as null, so the field is left alone; neither does a tombstone take any.
    let changed = sqlx::query_scalar!(
        r#"WITH session AS (
               INSERT INTO sessions AS s (id, user_id, created_at, updated_at, heading, heading_rev, instructions,
                   instructions_rev, metadata, metadata_rev, strategy, strategy_rev)
               VALUES ($1, $2, $3, $3, $4, $5, $6, $7, $8::text::json, $9, $10, $11)
               ON CONFLICT (id) DO UPDATE SET
                   created_at = least(s.created_at, excluded.created_at),
                   updated_at = greatest(s.updated_at, excluded.updated_at),
                   heading = CASE WHEN s.deleted_at IS NULL AND excluded.heading_rev > coalesce(s.heading_rev, '')
                       THEN excluded.heading ELSE s.heading END,
                   heading_rev = CASE WHEN s.deleted_at IS NULL AND excluded.heading_rev > coalesce(s.heading_rev, '')
                       THEN excluded.heading_rev ELSE s.heading_rev END,
                   instructions = CASE WHEN s.deleted_at IS NULL
                           AND excluded.instructions_rev > coalesce(s.instructions_rev, '')
                       THEN excluded.instructions ELSE s.instructions END,
                   instructions_rev = CASE WHEN s.deleted_at IS NULL
                           AND excluded.instructions_rev > coalesce(s.instructions_rev, '')
                       THEN excluded.instructions_rev ELSE s.instructions_rev END,
                   metadata = CASE WHEN s.deleted_at IS NULL AND excluded.metadata_rev > coalesce(s.metadata_rev, '')
                       THEN excluded.metadata ELSE s.metadata END,
                   metadata_rev = CASE WHEN s.deleted_at IS NULL AND excluded.metadata_rev > coalesce(s.metadata_rev, '')
                       THEN excluded.metadata_rev ELSE s.metadata_rev END,
                   strategy = CASE WHEN s.deleted_at IS NULL AND excluded.strategy_rev > coalesce(s.strategy_rev, '')
                       THEN excluded.strategy ELSE s.strategy END,
                   strategy_rev = CASE WHEN s.deleted_at IS NULL AND excluded.strategy_rev > coalesce(s.strategy_rev, '')
                       THEN excluded.strategy_rev ELSE s.strategy_rev END
               WHERE s.user_id = excluded.user_id
               RETURNING s.created_at
           ), seen AS (
               INSERT INTO users AS u (id, first_seen_at)
               SELECT $2, $3 FROM session
               WHERE created_at = $3 AND NOT EXISTS (SELECT FROM users WHERE id = $2 AND first_seen_at <= $3)
               ON CONFLICT (id) DO UPDATE SET first_seen_at = least(u.first_seen_at, excluded.first_seen_at)
           )
           SELECT created_at AS "created_at!" FROM session"#,
        key,
        &*to_sql(event.user_id.as_str()),
        at,
        heading.as_deref(),
        heading_rev,
        instructions.as_deref(),
        instructions_rev,
        metadata,
        metadata_rev,
        strategy,
        strategy_rev
    )
    .fetch_optional(connection)
    .await?;
    changed.map(|_| ()).ok_or_else(|| refused(format!("session {key} belongs to another user")))
}
