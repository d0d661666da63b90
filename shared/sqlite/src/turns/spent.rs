//! What a user has used since a time: of the turns, which know an end before the record does, each in one row however often
//! it is delivered.

use chrono::{DateTime, Utc};
use parlance_shared::{UserId, budget::Spent, port::PortError};

use super::SqliteTurns;
use crate::database::port_error;

pub(super) async fn spent(turns: &SqliteTurns, user: &UserId, since: DateTime<Utc>) -> Result<Spent, PortError> {
    let (owner, since) = (user.as_str(), since.timestamp_millis());
    let mut connection = turns.database.read().await?;
    let row = sqlx::query!(
        r#"SELECT coalesce(sum(tokens), 0) AS "tokens!: i64", coalesce(sum(cost), 0) AS "micro_usd!: i64" FROM (
               SELECT coalesce(input_tokens, 0) + coalesce(output_tokens, 0) AS tokens, cost_micro_usd AS cost
               FROM turns WHERE user_id = ?1 AND finished_at >= ?2
               UNION ALL
               SELECT coalesce(input_tokens, 0) + coalesce(output_tokens, 0), cost_micro_usd
               FROM summaries WHERE user_id = ?1 AND made_at >= ?2
           )"#,
        owner,
        since
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(port_error)?;
    Ok(Spent { tokens: row.tokens.unsigned_abs(), micro_usd: row.micro_usd.unsigned_abs() })
}
