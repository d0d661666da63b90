//! Brings a database up to date.

use std::time::Duration;

use parlance_shared::settings::PostgresSettings;
use sqlx::{
    Connection as _, PgConnection,
    migrate::{MigrateError, Migrator},
};

use super::{
    MIGRATOR, MigrationError,
    connect::{connect, message, sorted},
    latest_known,
    status::{applied, states},
};
use crate::database::error::code;

/// Another deployment may be at it; its migrations take no longer.
const OTHERS: Duration = Duration::from_secs(60);
/// Held while migrations are applied; one number for all versions of this program.
const ADVISORY_LOCK: i64 = 0x7061_726c_616e_6365;

/// What [`init`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitReport {
    /// The schema was empty before.
    pub created: bool,
    /// The migrations that were applied now, by version.
    pub applied: Vec<i64>,
    /// The version that the database has now; greater than this program's when a later one made it.
    pub version: i64,
}

/// Applies what is pending, each migration in a transaction of its own. The user of the settings becomes the owner of what
/// is made, and makes the services' role if the server lacks it.
///
/// # Errors
/// See [`MigrationError`].
pub async fn init(settings: &PostgresSettings) -> Result<InitReport, MigrationError> {
    let mut connection = connect(settings).await?;
    lock(&mut connection).await.map_err(|error| sorted(settings, error))?;
    let before = applied(&mut connection).await.map_err(|error| sorted(settings, error))?;
    migrator().run_direct(None, &mut connection, false).await.map_err(|error| refused(settings, error))?;
    let report = InitReport {
        created: before.is_empty(),
        applied: states(&before).iter().filter(|state| state.pending).map(|state| state.version).collect(),
        version: before.iter().map(|row| row.version).max().unwrap_or_default().max(latest_known()),
    };
    // The lock goes with the session, whatever becomes of it.
    let _ = connection.close().await;
    Ok(report)
}

/// Ours, but content with a schema that has later versions, and without sqlx's lock, which waits for ever.
fn migrator() -> Migrator {
    Migrator {
        migrations: MIGRATOR.migrations.clone(),
        table_name: MIGRATOR.table_name.clone(),
        ignore_missing: true,
        locking: false,
        ..Migrator::DEFAULT
    }
}

async fn lock(connection: &mut PgConnection) -> sqlx::Result<()> {
    let mut polite = connection.begin().await?;
    let bound = OTHERS.as_millis().to_string();
    // Settings and locks of the server's, no table of ours.
    sqlx::query("SELECT set_config('lock_timeout', $1, true)").bind(bound).execute(&mut *polite).await?;
    sqlx::query("SELECT pg_advisory_lock($1)").bind(ADVISORY_LOCK).execute(&mut *polite).await?;
    polite.commit().await
}

fn refused(settings: &PostgresSettings, error: MigrateError) -> MigrationError {
    match error {
        MigrateError::VersionMismatch(version) => MigrationError::Drift { version },
        MigrateError::Execute(cause) => sorted(settings, cause),
        MigrateError::ExecuteMigration(cause, _) if matches!(code(&cause), Some("42501" | "55P03")) => {
            sorted(settings, cause)
        }
        MigrateError::ExecuteMigration(cause, version) if !message(&cause).is_empty() => {
            let words = format!("migration {version}: {}", message(&cause));
            MigrationError::Failed(MigrateError::Source(words.into()))
        }
        other => MigrationError::Failed(other),
    }
}
