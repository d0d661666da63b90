//! Headings that were found for sessions. What finding one took stands beside the summaries, as their version 0 without a text:
//! it counts like theirs, and goes with them.

use parlance_shared::event::HeadingMade;
use sqlx::SqliteConnection;

use super::values::count;
use crate::{database::refused, users::is_erased};

/// The first one stays. A change by the owner leaves a revision, also one that clears the heading: then nothing happens, and
/// neither does anything to a tombstone. It leaves no revision itself, so a change that comes later goes before it. When the
/// session was last used does not change by it.
pub(super) async fn record(connection: &mut SqliteConnection, event: &HeadingMade) -> sqlx::Result<()> {
    let (key, owner, at) = (event.session_id.to_string(), event.user_id.as_str(), event.made_at.timestamp_millis());
    let heading = event.heading.as_str();
    if is_erased(connection, &event.user_id, event.session_id, at).await? {
        return Ok(());
    }
    let recorded = sqlx::query!(
        "INSERT INTO sessions (id, user_id, created_at, updated_at, heading) VALUES (?1, ?2, ?3, ?3, ?4)
         ON CONFLICT (id) DO UPDATE SET
             heading = iif(deleted_at IS NULL AND heading_rev IS NULL, coalesce(heading, excluded.heading), heading)
         WHERE user_id = excluded.user_id
         RETURNING deleted_at IS NULL AS 'kept!: bool'",
        key,
        owner,
        at,
        heading
    )
    .fetch_optional(&mut *connection)
    .await?;
    match recorded {
        None => Err(refused(format!("session {key} belongs to another user"))),
        Some(session) if session.kept && event.usage.is_known() => put_usage(connection, event).await,
        Some(_) => Ok(()),
    }
}

async fn put_usage(connection: &mut SqliteConnection, event: &HeadingMade) -> sqlx::Result<()> {
    let (key, owner, at) = (event.session_id.to_string(), event.user_id.as_str(), event.made_at.timestamp_millis());
    let (model, through) = (event.model.as_deref(), event.through.map(|task| task.to_string()).unwrap_or_default());
    let (input, output, cached) =
        (count(event.usage.input_tokens), count(event.usage.output_tokens), count(event.usage.cached_tokens));
    let cost = count(event.cost_micro_usd);
    sqlx::query!(
        "INSERT INTO summaries (session_id, version, user_id, text, through, turns, tokens, model, input_tokens,
             output_tokens, cached_tokens, made_at, cost_micro_usd)
         VALUES (?1, 0, ?2, '', ?3, 0, 0, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (session_id, version) DO NOTHING",
        key,
        owner,
        through,
        model,
        input,
        output,
        cached,
        at,
        cost
    )
    .execute(connection)
    .await?;
    Ok(())
}
