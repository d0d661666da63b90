//! Whether a database's schema is the one that this program expects.

use parlance_shared::settings::PostgresSettings;
use sqlx::{Connection as _, PgConnection};

use super::{
    MIGRATOR, MigrationError, RUNTIME_ROLE,
    connect::{connect, sorted},
    latest_known,
    status::{Applied, applied, states},
};

/// What [`validate`] found. Empty lists are good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ValidationReport {
    /// Migrations whose file is not the one that was applied.
    pub drift: Vec<i64>,
    /// Applied migrations that are later than any this program has.
    pub newer: Vec<i64>,
    /// Other applied migrations that this program does not have.
    pub unknown: Vec<i64>,
    /// Migrations that are not applied yet.
    pub pending: Vec<i64>,
    /// Tables that the services' role can't read.
    pub closed: Vec<String>,
    /// Indexes that Postgres does not use, as their making was cut short.
    pub broken_indexes: Vec<String>,
}

impl ValidationReport {
    /// Nothing is wrong and nothing is pending.
    pub fn is_valid(&self) -> bool {
        *self == Self::default()
    }

    /// One sentence for each thing that is not as it should be.
    pub fn problems(&self) -> Vec<String> {
        let known = latest_known();
        let mut problems = Vec::new();
        problems.extend(
            self.drift
                .iter()
                .map(|version| format!("migration {version} differs from the one that was applied to this database")),
        );
        problems.extend(self.newer.iter().map(|version| {
            format!(
                "the database has schema version {version}, this program knows up to {known}; use the newer program"
            )
        }));
        problems.extend(
            self.unknown
                .iter()
                .map(|version| format!("migration {version} was applied, but this program has no such one")),
        );
        problems.extend(
            self.pending
                .iter()
                .map(|version| format!("migration {version} is not applied; run `parlance migrate init`")),
        );
        problems.extend(
            self.closed.iter().map(|table| format!("the role {RUNTIME_ROLE} is missing or can't read table {table}")),
        );
        problems.extend(
            self.broken_indexes
                .iter()
                .map(|index| format!("the index {index} is not valid; run REINDEX INDEX {index}")),
        );
        problems
    }
}

/// Compares the database with this program's migrations.
///
/// # Errors
/// See [`MigrationError`]. An empty database is valid to read and has every migration pending.
pub async fn validate(settings: &PostgresSettings) -> Result<ValidationReport, MigrationError> {
    let mut connection = connect(settings).await?;
    let applied = applied(&mut connection).await.map_err(|error| sorted(settings, error))?;
    let mut report = compare(&applied);
    (report.closed, report.broken_indexes) = inspect(&mut connection).await.map_err(|error| sorted(settings, error))?;
    let _ = connection.close().await;
    Ok(report)
}

fn compare(applied: &[Applied]) -> ValidationReport {
    let known = latest_known();
    let mut report = ValidationReport::default();
    for state in states(applied) {
        let list = match (state.known, state.pending) {
            (false, _) if state.version > known => &mut report.newer,
            (false, _) => &mut report.unknown,
            (true, true) => &mut report.pending,
            (true, false) => continue,
        };
        list.push(state.version);
    }
    let checksum = |version| MIGRATOR.iter().find(|migration| migration.version == version).map(|m| &*m.checksum);
    report.drift = applied
        .iter()
        .filter(|row| checksum(row.version).is_some_and(|expected| expected != row.checksum))
        .map(|row| row.version)
        .collect();
    report
}

/// What the server's own catalogues say of our tables.
async fn inspect(connection: &mut PgConnection) -> sqlx::Result<(Vec<String>, Vec<String>)> {
    let closed = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_class AS c LEFT JOIN pg_roles AS r ON r.rolname = $1
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
             AND c.relname <> 'schema_migrations' AND NOT coalesce(has_table_privilege(r.oid, c.oid, 'SELECT'), false)
             AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = c.oid AND d.deptype = 'e')
         ORDER BY 1",
    )
    .bind(RUNTIME_ROLE)
    .fetch_all(&mut *connection)
    .await?;
    let broken = sqlx::query_scalar(
        "SELECT i.indexrelid::regclass::text FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
         WHERE NOT i.indisvalid AND c.relnamespace = 'public'::regnamespace ORDER BY 1",
    )
    .fetch_all(connection)
    .await?;
    Ok((closed, broken))
}
