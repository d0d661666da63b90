//! The schema's versions, kept in `schema_migrations`, and what `parlance migrate` does with them.
//!
//! - [`init`] brings a folder up to date, as the program itself does when it starts; it takes the folder's lock.
//! - [`status`], [`validate`] and [`stats`] only read, also beside a running program, and make no database where there is none.

mod init;
mod inspect;
mod stats;
mod status;
mod validate;

use sqlx::{SqliteConnection, migrate::Migrator};

pub use self::{
    init::{InitReport, init},
    inspect::InspectError,
    stats::{DatabaseStats, TableStats, stats},
    status::{MigrationState, status},
    validate::{ValidationReport, validate},
};

static MIGRATOR: Migrator = sqlx::migrate!();

/// Why the schema is not as this program needs it.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// A later program made it.
    #[error(
        "the database has schema version {found}, this program knows up to {known}; use the newer program, or another DATA_DIR"
    )]
    Newer {
        /// The version it has.
        found: i64,
        /// The latest version known here.
        known: i64,
    },
    /// A migration's file is not the one that was applied.
    #[error("migration {version} differs from the one that was applied to this database")]
    Drift {
        /// The migration.
        version: i64,
    },
    /// One can't be applied.
    #[error("the database can't be migrated: {0}")]
    Failed(sqlx::migrate::MigrateError),
}

/// Applies what is pending.
pub(super) async fn run(connection: &mut SqliteConnection) -> Result<(), MigrationError> {
    use sqlx::migrate::MigrateError;
    let known = latest_known();
    MIGRATOR.run(connection).await.map_err(|error| match error {
        MigrateError::VersionMissing(found) if found > known => MigrationError::Newer { found, known },
        MigrateError::VersionMismatch(version) => MigrationError::Drift { version },
        other => MigrationError::Failed(other),
    })
}

fn latest_known() -> i64 {
    MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or_default()
}
