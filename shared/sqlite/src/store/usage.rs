//! Sums of what a user's tasks, summaries and headings (version 0 of the summaries) used. Derived from their rows, of which each has one, so duplicates and replays
//! change nothing.

use parlance_shared::{
    UserId,
    usage::{UsageQuery, UsageReport, UsageRow},
};
use sqlx::SqliteConnection;

pub(super) async fn report(
    connection: &mut SqliteConnection,
    user: &UserId,
    query: &UsageQuery,
) -> sqlx::Result<UsageReport> {
    let (owner, group) = (user.as_str(), query.group_by.as_str());
    let (from, to) = (query.from.timestamp_millis(), query.to.timestamp_millis());
    let (after, limit) = (query.after.as_deref(), i64::from(query.limit));
    // The row of the total, the groups, and one more to tell whether there are others.
    let rows_to_read = limit + 2;
    let rows = sqlx::query_as!(
        UsageRow,
        r#"WITH used AS (
               SELECT CASE ?4 WHEN 'day' THEN strftime('%Y-%m-%d', finished_at / 1000, 'unixepoch')
                   WHEN 'session' THEN session_id ELSE coalesce(model, '') END AS key,
                   1 AS task, 0 AS summary, input_tokens, output_tokens, cached_tokens, cost_micro_usd,
                   max(first_token_at - accepted_at, 0) AS first_ms,
                   iif(attempt = 1 AND output_tokens > 0 AND finished_at > first_token_at, finished_at - first_token_at, NULL)
                       AS written_ms
               FROM tasks WHERE user_id = ?1 AND finished_at >= ?2 AND finished_at < ?3
               UNION ALL
               SELECT CASE ?4 WHEN 'day' THEN strftime('%Y-%m-%d', made_at / 1000, 'unixepoch')
                   WHEN 'session' THEN session_id ELSE coalesce(model, '') END,
                   0, version > 0, input_tokens, output_tokens, cached_tokens, cost_micro_usd, NULL, NULL
               FROM summaries WHERE user_id = ?1 AND made_at >= ?2 AND made_at < ?3
           ), grouped AS (
               SELECT 1 AS total, '' AS "group", * FROM used
               UNION ALL
               SELECT 0, key, * FROM used WHERE ?5 IS NULL OR key > ?5
           ), ranked AS (
               SELECT *, count(first_ms) OVER (PARTITION BY total, "group") AS timed,
                   row_number() OVER (PARTITION BY total, "group" ORDER BY first_ms IS NULL, first_ms) AS rank
               FROM grouped
           )
           SELECT total AS "is_total!: bool", "group" AS "key!: String", sum(task) AS "tasks!: i64",
               sum(summary) AS "summaries!: i64", count(*) - sum(task + summary) AS "headings!: i64",
               coalesce(sum(input_tokens), 0) AS "input!: i64", coalesce(sum(output_tokens), 0) AS "output!: i64",
               coalesce(sum(cached_tokens), 0) AS "cached!: i64", sum(cost_micro_usd) AS "cost?: i64",
               count(*) FILTER (WHERE cost_micro_usd IS NULL AND coalesce(input_tokens, output_tokens) IS NOT NULL)
                   AS "unpriced!: i64",
               min(first_ms) FILTER (WHERE rank = (timed + 1) / 2) AS "first_ms?: i64",
               coalesce(sum(output_tokens) FILTER (WHERE written_ms IS NOT NULL), 0) AS "written!: i64",
               coalesce(sum(written_ms), 0) AS "written_ms!: i64"
           FROM ranked GROUP BY total, "group" ORDER BY total DESC, "group" LIMIT ?6"#,
        owner,
        from,
        to,
        group,
        after,
        rows_to_read
    )
    .fetch_all(connection)
    .await?;
    Ok(UsageReport::of(rows, query))
}
