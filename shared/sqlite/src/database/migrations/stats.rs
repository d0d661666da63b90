//! How much a folder's database holds.

use std::path::Path;

use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

use super::inspect::{InspectError, Inspection, wal_file};
use crate::database::open;

/// The size of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseStats {
    /// Its tables, by name.
    pub tables: Vec<TableStats>,
    /// The size of its file.
    pub file_bytes: u64,
    /// How much of that is free for new rows.
    pub free_bytes: u64,
    /// The size of the file of recent commits beside it.
    pub wal_bytes: u64,
}

/// The size of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableStats {
    /// Its name.
    pub table: String,
    /// How many rows it has.
    pub rows: u64,
    /// The pages that it and its indexes take.
    pub bytes: u64,
}

/// Counts rows and pages, as of one moment. Takes as long as reading the file.
///
/// # Errors
/// See [`InspectError`].
pub async fn stats(folder: &Path) -> Result<DatabaseStats, InspectError> {
    let Some(mut inspection) = Inspection::open(folder).await? else {
        return Err(InspectError::Missing { folder: folder.to_owned() });
    };
    let (tables, free_bytes) = count(&mut inspection.connection).await.map_err(|cause| inspection.failed(cause))?;
    inspection.close().await;
    let size = |file: &Path| std::fs::metadata(file).map(|metadata| metadata.len()).unwrap_or_default();
    let (file_bytes, wal_bytes) = (size(&open::file(folder)), size(&wal_file(folder)));
    Ok(DatabaseStats { tables, file_bytes, free_bytes, wal_bytes })
}

async fn count(connection: &mut SqliteConnection) -> sqlx::Result<(Vec<TableStats>, u64)> {
    let mut moment = connection.begin().await?;
    let sizes: Vec<(String, i64)> = sqlx::query_as(
        "SELECT s.tbl_name, sum(d.pgsize) FROM dbstat AS d JOIN sqlite_schema AS s ON s.name = d.name
         WHERE d.aggregate = TRUE AND s.tbl_name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
         GROUP BY s.tbl_name ORDER BY s.tbl_name",
    )
    .fetch_all(&mut *moment)
    .await?;
    let mut tables = Vec::with_capacity(sizes.len());
    for (table, bytes) in sizes {
        let quoted = table.replace('"', "\"\"");
        // The name comes from the database's own schema, and is quoted.
        let rows: i64 = sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM \"{quoted}\"")))
            .fetch_one(&mut *moment)
            .await?;
        tables.push(TableStats { table, rows: natural(rows), bytes: natural(bytes) });
    }
    let free: i64 =
        sqlx::query_scalar("SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size")
            .fetch_one(&mut *moment)
            .await?;
    moment.rollback().await?;
    Ok((tables, natural(free)))
}

fn natural(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
