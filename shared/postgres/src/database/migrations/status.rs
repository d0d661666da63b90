//! Which migrations a database has and which it lacks.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use parlance_shared::settings::PostgresSettings;
use sqlx::{Connection as _, PgConnection};

use super::{
    MIGRATOR, MigrationError,
    connect::{connect, sorted},
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

/// All migrations, by version. An empty database has them all pending.
///
/// # Errors
/// See [`MigrationError`].
pub async fn status(settings: &PostgresSettings) -> Result<Vec<MigrationState>, MigrationError> {
    let mut connection = connect(settings).await?;
    let applied = applied(&mut connection).await.map_err(|error| sorted(settings, error))?;
    let _ = connection.close().await;
    Ok(states(&applied))
}

/// A row of `schema_migrations`.
#[derive(sqlx::FromRow)]
pub(super) struct Applied {
    pub(super) version: i64,
    pub(super) description: String,
    pub(super) checksum: Vec<u8>,
    installed_on: DateTime<Utc>,
}

/// What was applied, by version. These statements are not checked at build time: sqlx makes the table itself.
pub(super) async fn applied(connection: &mut PgConnection) -> sqlx::Result<Vec<Applied>> {
    let exists: bool =
        sqlx::query_scalar("SELECT to_regclass('schema_migrations') IS NOT NULL").fetch_one(&mut *connection).await?;
    if !exists {
        return Ok(Vec::new());
    }
    sqlx::query_as(
        "SELECT version, description, checksum, installed_on FROM schema_migrations WHERE success ORDER BY version",
    )
    .fetch_all(connection)
    .await
}

pub(super) fn states(applied: &[Applied]) -> Vec<MigrationState> {
    let mut states: BTreeMap<i64, MigrationState> = MIGRATOR
        .iter()
        .map(|migration| {
            let description = migration.description.to_string();
            let version = migration.version;
            (version, MigrationState { version, description, applied_at: None, pending: true, known: true })
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
        state.applied_at = Some(row.installed_on);
    }
    states.into_values().collect()
}
