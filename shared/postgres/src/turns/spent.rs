//! What a user has used since a time: of the turns, which know an end before the record does, each in one row however often
//! it is delivered.

use chrono::{DateTime, Utc};
use parlance_shared::{UserId, budget::Spent, port::PortError};
use sqlx::PgConnection;

use super::PostgresTurns;
use crate::text::to_sql;

pub(super) async fn spent(turns: &PostgresTurns, user: &UserId, since: DateTime<Utc>) -> Result<Spent, PortError> {
    turns
        .database
        .run(&(user, since), |connection, (user, since)| Box::pin(spent_since(connection, user, *since)))
        .await
}

async fn spent_since(connection: &mut PgConnection, user: &UserId, since: DateTime<Utc>) -> sqlx::Result<Spent> {
    let row = sqlx::query!(
        r#"SELECT coalesce(sum(tokens), 0)::bigint AS "tokens!", coalesce(sum(cost), 0)::bigint AS "micro_usd!" FROM (
               SELECT coalesce(input_tokens, 0) + coalesce(output_tokens, 0) AS tokens, cost_micro_usd AS cost
               FROM turns WHERE user_id = $1 AND finished_at >= $2
               UNION ALL
               SELECT coalesce(input_tokens, 0) + coalesce(output_tokens, 0), cost_micro_usd
               FROM summaries WHERE user_id = $1 AND made_at >= $2
           ) AS used"#,
        &*to_sql(user.as_str()),
        since
    )
    .fetch_one(connection)
    .await?;
    Ok(Spent { tokens: row.tokens.unsigned_abs(), micro_usd: row.micro_usd.unsigned_abs() })
}
