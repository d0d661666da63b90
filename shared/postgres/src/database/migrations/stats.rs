//! How much a database holds.

use parlance_shared::settings::PostgresSettings;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::{
    MigrationError,
    connect::{connect, sorted},
    status::applied,
};

/// Tables up to this size are counted; of larger ones the server's own estimate is taken.
const COUNTED_UP_TO: i64 = 64 * 1024 * 1024;

/// The size of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseStats {
    /// Its tables, by name. A table of partitions is one of them.
    pub tables: Vec<TableStats>,
    /// The size of the database, the server's own tables included.
    pub bytes: u64,
    /// Connections to it at this moment.
    pub connections: u64,
    /// How many the server allows, for all its databases.
    pub max_connections: u64,
}

/// The size of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableStats {
    /// Its name.
    pub table: String,
    /// How many rows it has.
    pub rows: u64,
    /// The rows were not counted but estimated.
    pub estimated: bool,
    /// What it and its indexes take.
    pub bytes: u64,
}

/// Counts rows and bytes, as of one moment.
///
/// # Errors
/// See [`MigrationError`].
pub async fn stats(settings: &PostgresSettings) -> Result<DatabaseStats, MigrationError> {
    let mut connection = connect(settings).await?;
    let failed = |error| sorted(settings, error);
    if applied(&mut connection).await.map_err(failed)?.is_empty() {
        return Err(MigrationError::Missing);
    }
    let stats = count(&mut connection).await.map_err(failed)?;
    let _ = connection.close().await;
    Ok(stats)
}

/// These statements are not checked at build time: they read the server's own catalogues.
async fn count(connection: &mut PgConnection) -> sqlx::Result<DatabaseStats> {
    let mut moment = connection.begin().await?;
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY").execute(&mut *moment).await?;
    let sizes: Vec<(String, String, i64, i64)> = sqlx::query_as(
        "SELECT c.relname::text, quote_ident(c.relname), sum(pg_total_relation_size(part.oid))::bigint,
             sum(greatest(part.reltuples, 0))::bigint
         FROM pg_class AS c
         CROSS JOIN LATERAL (
             SELECT p.oid, p.reltuples FROM pg_class AS p WHERE p.oid = c.oid AND c.relkind = 'r'
             UNION ALL
             SELECT p.oid, p.reltuples FROM pg_partition_tree(c.oid) AS t JOIN pg_class AS p ON p.oid = t.relid
             WHERE c.relkind = 'p'
         ) AS part
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
         GROUP BY c.relname ORDER BY c.relname",
    )
    .fetch_all(&mut *moment)
    .await?;
    let mut tables = Vec::with_capacity(sizes.len());
    for (table, quoted, bytes, estimate) in sizes {
        let estimated = bytes > COUNTED_UP_TO;
        let rows = match estimated {
            true => estimate,
            // The name comes from the database's own catalogue, and is quoted.
            false => {
                let count = AssertSqlSafe(format!("SELECT count(*) FROM {quoted}"));
                sqlx::query_scalar(count).fetch_one(&mut *moment).await?
            }
        };
        tables.push(TableStats { table, rows: natural(rows), estimated, bytes: natural(bytes) });
    }
    let (bytes, connections, max_connections): (i64, i64, i64) = sqlx::query_as(
        "SELECT pg_database_size(current_database()),
             (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()),
             current_setting('max_connections')::bigint",
    )
    .fetch_one(&mut *moment)
    .await?;
    moment.rollback().await?;
    Ok(DatabaseStats {
        tables,
        bytes: natural(bytes),
        connections: natural(connections),
        max_connections: natural(max_connections),
    })
}

fn natural(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
