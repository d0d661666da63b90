//! The schema's versions, kept in `schema_migrations`, and what `parlance migrate` does with them.
//!
//! - [`init`] applies what is pending, as the schema's owner; of several at once, one works and the others wait.
//! - [`grant`] lets a service's login in.
//! - [`status`], [`validate`] and [`stats`] only read, also beside running services.
//! - [`Database::check_schema`] is what a service asks, as its own login.
//!
//! Versions only add to the schema until nobody uses what they replace: a schema that is newer than a program does for it,
//! an older one does not.

mod check;
mod connect;
mod grant;
mod init;
mod stats;
mod status;
mod validate;

use parlance_shared::port::PortError;
use sqlx::migrate::Migrator;

pub use self::{
    check::SchemaError,
    grant::grant,
    init::{InitReport, init},
    stats::{DatabaseStats, TableStats, stats},
    status::{MigrationState, status},
    validate::{ValidationReport, validate},
};

static MIGRATOR: Migrator = sqlx::migrate!();

/// The role that the services' logins are members of.
pub const RUNTIME_ROLE: &str = "parlance_runtime";

/// Why the schema can't be looked at or changed: one sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The database can't be reached, or fails.
    #[error(transparent)]
    Port(#[from] PortError),
    /// This user may not do that.
    #[error("{sentence}")]
    NotAllowed {
        /// Who may not do what, and what to run as whom.
        sentence: String,
    },
    /// A migration's file is not the one that was applied.
    #[error("migration {version} differs from the one that was applied to this database")]
    Drift {
        /// The migration.
        version: i64,
    },
    /// Another process migrates, or holds tables that a migration changes.
    #[error("the database is busy: {cause}; run `parlance migrate init` again when others are done")]
    Busy {
        /// What Postgres says.
        cause: String,
    },
    /// There is no such role to grant anything to.
    #[error("the server has no role {user:?}; create it first")]
    NoSuchUser {
        /// The role's name.
        user: String,
    },
    /// Nothing was made yet.
    #[error("the database has no schema yet; run `parlance migrate init`")]
    Missing,
    /// One can't be applied.
    #[error("the database can't be migrated: {0}")]
    Failed(sqlx::migrate::MigrateError),
}

fn latest_known() -> i64 {
    MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or_default()
}
