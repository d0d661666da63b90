//! Headings that were found for sessions. What finding one took stands beside the summaries, as their version 0 without a text:
//! it counts like theirs, and goes with them.

use parlance_shared::event::HeadingMade;
use sqlx::PgConnection;

use super::values::{count, to_millis};
use crate::{database::refused, text::to_sql, users::is_erased};

/// The first one stays. A change by the owner leaves a revision, also one that clears the heading: then nothing happens, and
/// neither does anything to a tombstone. It leaves no revision itself, so a change that comes later goes before it. When the
/// session was last used does not change by it.
pub(super) async fn record(connection: &mut PgConnection, event: &HeadingMade) -> sqlx::Result<()> {
    if is_erased(connection, &event.user_id, event.session_id, event.made_at).await? {
        return Ok(());
    }
    let key = event.session_id.to_string();
    let model = event.model.as_deref().map(to_sql);
    let recorded = sqlx::query!(
        r#"WITH session AS (
               INSERT INTO sessions AS s (id, user_id, created_at, updated_at, heading) VALUES ($1, $2, $3, $3, $4)
               ON CONFLICT (id) DO UPDATE SET
                   heading = CASE WHEN s.deleted_at IS NULL AND s.heading_rev IS NULL
                       THEN coalesce(s.heading, excluded.heading) ELSE s.heading END
               WHERE s.user_id = excluded.user_id
               RETURNING s.deleted_at IS NULL AS kept
           ), used AS (
               INSERT INTO summaries (session_id, version, user_id, text, through, turns, tokens, model, input_tokens,
                   output_tokens, cached_tokens, made_at, cost_micro_usd)
               SELECT $1, 0, $2, '', $5, 0, 0, $6, $7::bigint, $8::bigint, $9::bigint, $3, $10::bigint
               FROM session WHERE kept AND coalesce($7, $8) IS NOT NULL
               ON CONFLICT (session_id, version) DO NOTHING
           )
           SELECT kept AS "kept!" FROM session"#,
        key,
        &*to_sql(event.user_id.as_str()),
        to_millis(event.made_at),
        &*to_sql(&event.heading),
        event.through.map(|task| task.to_string()).unwrap_or_default(),
        model.as_deref(),
        count(event.usage.input_tokens),
        count(event.usage.output_tokens),
        count(event.usage.cached_tokens),
        count(event.cost_micro_usd)
    )
    .fetch_optional(connection)
    .await?;
    recorded.map(|_| ()).ok_or_else(|| refused(format!("session {key} belongs to another user")))
}
