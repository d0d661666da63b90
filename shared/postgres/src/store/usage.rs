//! Sums of what a user's tasks, summaries and headings (version 0 of the summaries) used. Derived from their rows, of which each has one, so duplicates and replays
//! change nothing.

use parlance_shared::{
    UserId,
    usage::{UsageQuery, UsageReport, UsageRow},
};
use sqlx::PgConnection;

use super::values::to_millis;
use crate::text::{from_sql, to_sql};

pub(super) async fn report(
    connection: &mut PgConnection,
    user: &UserId,
    query: &UsageQuery,
) -> sqlx::Result<UsageReport> {
    let after = query.after.as_deref().map(to_sql);
    // The row of the total, the groups, and one more to tell whether there are others.
    let rows_to_read = i64::from(query.limit) + 2;
    let rows = sqlx::query_as!(
        UsageRow,
        r#"WITH used AS (
               SELECT CASE $4 WHEN 'day' THEN to_char(finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')
                   WHEN 'session' THEN session_id ELSE coalesce(model, '') END COLLATE "C" AS key,
                   1 AS task, 0 AS summary, input_tokens, output_tokens, cached_tokens, cost_micro_usd,
                   CASE WHEN first_token_at IS NOT NULL AND accepted_at IS NOT NULL
                       THEN greatest(floor(extract(epoch FROM first_token_at - accepted_at) * 1000), 0) END AS first_ms,
                   CASE WHEN attempt = 1 AND output_tokens > 0 AND finished_at > first_token_at
                       THEN floor(extract(epoch FROM finished_at - first_token_at) * 1000) END AS written_ms
               FROM tasks WHERE user_id = $1 AND finished_at >= $2 AND finished_at < $3
               UNION ALL
               SELECT CASE $4 WHEN 'day' THEN to_char(made_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')
                   WHEN 'session' THEN session_id ELSE coalesce(model, '') END COLLATE "C",
                   0, CASE WHEN version > 0 THEN 1 ELSE 0 END, input_tokens, output_tokens, cached_tokens, cost_micro_usd,
                   NULL, NULL
               FROM summaries WHERE user_id = $1 AND made_at >= $2 AND made_at < $3
           )
           SELECT grouping(key) = 1 AS "is_total!", coalesce(key, '') AS "key!", coalesce(sum(task), 0) AS "tasks!",
               coalesce(sum(summary), 0) AS "summaries!", count(*) - coalesce(sum(task + summary), 0) AS "headings!",
               coalesce(sum(input_tokens), 0)::bigint AS "input!", coalesce(sum(output_tokens), 0)::bigint AS "output!",
               coalesce(sum(cached_tokens), 0)::bigint AS "cached!", sum(cost_micro_usd)::bigint AS cost,
               count(*) FILTER (WHERE cost_micro_usd IS NULL AND coalesce(input_tokens, output_tokens) IS NOT NULL)
                   AS "unpriced!",
               (percentile_disc(0.5) WITHIN GROUP (ORDER BY first_ms))::bigint AS first_ms,
               coalesce(sum(output_tokens) FILTER (WHERE written_ms IS NOT NULL), 0)::bigint AS "written!",
               coalesce(sum(written_ms), 0)::bigint AS "written_ms!"
           FROM used GROUP BY GROUPING SETS ((), (key)) HAVING grouping(key) = 1 OR $5::text IS NULL OR key > $5
           ORDER BY grouping(key) DESC, key LIMIT $6"#,
        &*to_sql(user.as_str()),
        to_millis(query.from),
        to_millis(query.to),
        query.group_by.as_str(),
        after.as_deref(),
        rows_to_read
    )
    .fetch_all(connection)
    .await?
    .into_iter()
    .map(|row| UsageRow { key: from_sql(row.key), ..row });
    Ok(UsageReport::of(rows.collect(), query))
}
