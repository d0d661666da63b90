//! Every version of every session's summary.

use parlance_shared::{SessionId, UserId, event::SummaryMade, port::store::Lookup, summary::StoredSummary};
use sqlx::SqliteConnection;

use super::{
    sessions::{self, SessionState},
    values::{count, id, time, usage},
};
use crate::{database::refused, users::is_erased};

/// Stores a version once. What the first event of it did not know is taken from a later one.
pub(super) async fn record(connection: &mut SqliteConnection, event: &SummaryMade) -> sqlx::Result<()> {
    let summary = &event.summary;
    let at = summary.made_at.timestamp_millis();
    if is_erased(connection, &event.user_id, event.session_id, at).await?
        || sessions::touch(connection, &event.user_id, event.session_id, at, at).await? == SessionState::Deleted
    {
        return Ok(());
    }
    let (session, owner, through) = (event.session_id.to_string(), event.user_id.as_str(), summary.through.to_string());
    let (text, model) = (summary.text.as_str(), event.model.as_deref());
    let (input, output, cached) =
        (count(event.usage.input_tokens), count(event.usage.output_tokens), count(event.usage.cached_tokens));
    let cost = count(event.cost_micro_usd);
    let recorded = sqlx::query!(
        "INSERT INTO summaries (session_id, version, user_id, text, through, turns, tokens, model, input_tokens,
             output_tokens, cached_tokens, made_at, cost_micro_usd)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
         ON CONFLICT (session_id, version) DO UPDATE SET
             model = coalesce(model, excluded.model),
             input_tokens = coalesce(input_tokens, excluded.input_tokens),
             output_tokens = coalesce(output_tokens, excluded.output_tokens),
             cached_tokens = coalesce(cached_tokens, excluded.cached_tokens),
             cost_micro_usd = coalesce(cost_micro_usd, excluded.cost_micro_usd)
         WHERE user_id = excluded.user_id",
        session,
        summary.version,
        owner,
        text,
        through,
        summary.turns,
        summary.tokens,
        model,
        input,
        output,
        cached,
        at,
        cost
    )
    .execute(connection)
    .await?;
    if recorded.rows_affected() == 0 {
        return Err(refused(format!("the summary of session {session} belongs to another user")));
    }
    Ok(())
}

/// Erases a session's summaries.
pub(super) async fn erase(connection: &mut SqliteConnection, session: SessionId) -> sqlx::Result<()> {
    let session = session.to_string();
    sqlx::query!("DELETE FROM summaries WHERE session_id = ?", session).execute(connection).await?;
    Ok(())
}

pub(super) async fn find(
    connection: &mut SqliteConnection,
    user: &UserId,
    session: SessionId,
    version: Option<u32>,
) -> sqlx::Result<Lookup<StoredSummary>> {
    let (key, owner) = (session.to_string(), user.as_str());
    let row = sqlx::query!(
        r#"SELECT s.deleted_at AS "deleted_at?", m.version AS "version?", m.text AS "text?", m.through AS "through?",
               m.turns AS "turns?", m.tokens AS "tokens?", m.made_at AS "made_at?", m.model AS "model?",
               m.input_tokens AS "input_tokens?", m.output_tokens AS "output_tokens?", m.cached_tokens AS "cached_tokens?"
           FROM sessions AS s
           LEFT JOIN summaries AS m ON m.session_id = s.id AND m.user_id = s.user_id AND m.version > 0
               AND (?3 IS NULL OR m.version = ?3)
           WHERE s.id = ?1 AND s.user_id = ?2
           ORDER BY m.version DESC LIMIT 1"#,
        key,
        owner,
        version
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
        text,
        turns: number(turns),
        through_task_id: id(&through)?,
        tokens: number(tokens),
        made_at: time(made_at)?,
        model: row.model,
        usage: usage(row.input_tokens, row.output_tokens, row.cached_tokens),
    }))
}
