//! Every version of every session's summary.

use parlance_shared::{SessionId, UserId, event::SummaryMade, port::store::Lookup, summary::StoredSummary};
use sqlx::PgConnection;

use super::values::{count, id, to_millis, usage};
use crate::{
    database::refused,
    text::{from_sql, to_sql},
    users::is_erased,
};

/// Stores a version once. What the first event of it did not know is taken from a later one. The session's row is touched
/// first, which waits for a deletion that is under way.
pub(super) async fn record(connection: &mut PgConnection, event: &SummaryMade) -> sqlx::Result<()> {
    let summary = &event.summary;
    if is_erased(connection, &event.user_id, event.session_id, summary.made_at).await? {
        return Ok(());
    }
    let key = event.session_id.to_string();
    let model = event.model.as_deref().map(to_sql);
    let recorded = sqlx::query!(
        r#"WITH session AS (
               INSERT INTO sessions AS s (id, user_id, created_at, updated_at) VALUES ($1, $2, $3, $3)
               ON CONFLICT (id) DO UPDATE SET
                   created_at = least(s.created_at, excluded.created_at),
                   updated_at = greatest(s.updated_at, excluded.updated_at)
               WHERE s.user_id = excluded.user_id
               RETURNING s.deleted_at IS NULL AS kept
           ), stored AS (
               INSERT INTO summaries AS m (session_id, version, user_id, text, through, turns, tokens, model,
                   input_tokens, output_tokens, cached_tokens, made_at, cost_micro_usd)
               SELECT $1, $4::bigint, $2, $5, $6, $7::bigint, $8::bigint, $9, $10::bigint, $11::bigint, $12::bigint, $3,
                   $13::bigint
               FROM session WHERE kept
               ON CONFLICT (session_id, version) DO UPDATE SET
                   model = coalesce(m.model, excluded.model),
                   input_tokens = coalesce(m.input_tokens, excluded.input_tokens),
                   output_tokens = coalesce(m.output_tokens, excluded.output_tokens),
                   cached_tokens = coalesce(m.cached_tokens, excluded.cached_tokens),
                   cost_micro_usd = coalesce(m.cost_micro_usd, excluded.cost_micro_usd)
               WHERE m.user_id = excluded.user_id
           )
           SELECT kept AS "kept!" FROM session"#,
        key,
        &*to_sql(event.user_id.as_str()),
        to_millis(summary.made_at),
        i64::from(summary.version),
        &*to_sql(&summary.text),
        summary.through.to_string(),
        i64::from(summary.turns),
        i64::from(summary.tokens),
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

pub(super) async fn find(
    connection: &mut PgConnection,
    user: &UserId,
    session: SessionId,
    version: Option<u32>,
) -> sqlx::Result<Lookup<StoredSummary>> {
    let row = sqlx::query!(
        r#"SELECT s.deleted_at, m.version AS "version?", m.text AS "text?", m.through AS "through?", m.turns AS "turns?",
               m.tokens AS "tokens?", m.made_at AS "made_at?", m.model, m.input_tokens, m.output_tokens, m.cached_tokens
           FROM sessions AS s
           LEFT JOIN LATERAL (
               SELECT * FROM summaries AS v
               WHERE v.session_id = s.id AND v.user_id = s.user_id AND v.version > 0 AND ($3::bigint IS NULL OR v.version = $3)
               ORDER BY v.version DESC LIMIT 1
           ) AS m ON true
           WHERE s.id = $1 AND s.user_id = $2"#,
        session.to_string(),
        &*to_sql(user.as_str()),
        version.map(i64::from)
    )
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(Lookup::Unknown) };
    if row.deleted_at.is_some() {
        return Ok(Lookup::Deleted);
    }
    let (Some(version), Some(text), Some(through), Some(turns), Some(tokens), Some(made_at)) =
        (row.version, row.text, row.through, row.turns, row.tokens, row.made_at)
    else {
        return Ok(Lookup::Unknown);
    };
    let number = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
    Ok(Lookup::Found(StoredSummary {
        session_id: session,
        version: number(version),
        text: from_sql(text),
        turns: number(turns),
        through_task_id: id(&through)?,
        tokens: number(tokens),
        made_at,
        model: row.model.map(from_sql),
        usage: usage(row.input_tokens, row.output_tokens, row.cached_tokens),
    }))
}
