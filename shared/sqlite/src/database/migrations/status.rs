//! Which migrations a folder's database has and which it lacks.

use std::{collections::BTreeMap, path::Path};

use chrono::{DateTime, Utc};
use sqlx::SqliteConnection;

use super::{
    MIGRATOR,
    inspect::{InspectError, Inspection},
};

/// One migration, as the program and the database know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationState {
    /// Its number.
    pub version: i64,
    /// What it is about.
    pub description: String,
    /// When it was applied; null while it is pending.
    pub applied_at: Option<DateTime<Utc>>,
    /// This program has it, the database does not.
    pub pending: bool,
    /// This program has it. If not, a later program applied it.
    pub known: bool,
}

/// All migrations, by version. A folder without a database has them all pending.
///
/// # Errors
/// See [`InspectError`].
pub async fn status(folder: &Path) -> Result<Vec<MigrationState>, InspectError> {
    let Some(mut inspection) = Inspection::open(folder).await? else {
        return Ok(states(&[]));
    };
    let applied = applied(&mut inspection.connection).await.map_err(|cause| inspection.failed(cause))?;
    inspection.close().await;
    Ok(states(&applied))
}

/// A row of `schema_migrations`.
#[derive(sqlx::FromRow)]
pub(super) struct Applied {
    pub(super) version: i64,
    pub(super) description: String,
    pub(super) checksum: Vec<u8>,
    seconds: Option<i64>,
}

/// What was applied, by version. These statements are not checked at build time: sqlx makes the table itself.
pub(super) async fn applied(connection: &mut SqliteConnection) -> sqlx::Result<Vec<Applied>> {
    let tables: i64 =
        sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'schema_migrations'")
            .fetch_one(&mut *connection)
            .await?;
    if tables == 0 {
        return Ok(Vec::new());
    }
    sqlx::query_as(
        "SELECT version, description, checksum, CAST(strftime('%s', installed_on) AS INTEGER) AS seconds
         FROM schema_migrations ORDER BY version",
    )
    .fetch_all(connection)
    .await
}

pub(super) fn states(applied: &[Applied]) -> Vec<MigrationState> {
    let mut states: BTreeMap<i64, MigrationState> = MIGRATOR
        .iter()
        .map(|migration| {
            let description = migration.description.to_string();
            let state = MigrationState {
                version: migration.version,
                description,
                applied_at: None,
                pending: true,
                known: true,
            };
            (migration.version, state)
        })
        .collect();
    for row in applied {
        let state = states.entry(row.version).or_insert_with(|| MigrationState {
            version: row.version,
            description: row.description.clone(),
            applied_at: None,
            pending: false,
            known: false,
        });
        state.pending = false;
        state.applied_at = row.seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    }
    states.into_values().collect()
}
