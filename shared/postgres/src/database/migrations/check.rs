//! Whether a service can work with the schema that it finds.

use std::sync::atomic::Ordering;

use parlance_shared::port::PortError;

use super::{MIGRATOR, latest_known};
use crate::{
    Database,
    database::error::{WHAT, code},
};

/// Why a service can't work with the database: one sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The database can't be asked now.
    #[error(transparent)]
    Unavailable(#[from] PortError),
    /// An earlier program made it.
    #[error(
        "the database has schema version {found}, this program needs version {needed}; run `parlance migrate init` as the owner of the schema"
    )]
    Older {
        /// The version it has; 0 when it has none.
        found: i64,
        /// The latest version known here.
        needed: i64,
    },
    /// This login may not use it.
    #[error(
        "user {user:?} may not use the schema of database {database:?}; run `parlance migrate grant {user}` as the owner of the schema"
    )]
    NotGranted {
        /// The login.
        user: String,
        /// The database.
        database: String,
    },
}

impl Database {
    /// Checks that the schema has everything that this program uses. A newer schema does.
    ///
    /// # Errors
    /// See [`SchemaError`].
    pub async fn check_schema(&self) -> Result<(), SchemaError> {
        // Not checked at build time: sqlx makes the table itself.
        let versions = self.run(&(), |connection, ()| {
            Box::pin(async {
                let versions = sqlx::query_scalar::<_, i64>("SELECT version FROM schema_migrations WHERE success")
                    .fetch_all(connection)
                    .await;
                match versions {
                    Ok(versions) => Ok(Ok(versions)),
                    Err(error) if matches!(code(&error), Some(UNDEFINED_TABLE)) => Ok(Ok(Vec::new())),
                    Err(error) if matches!(code(&error), Some(INSUFFICIENT_PRIVILEGE)) => Ok(Err(())),
                    Err(error) => Err(error),
                }
            })
        });
        let Ok(versions) = versions.await? else {
            let (user, database) = (self.settings.user.clone(), self.settings.name.clone());
            return Err(SchemaError::NotGranted { user, database });
        };
        if MIGRATOR.iter().any(|migration| !versions.contains(&migration.version)) {
            let found = versions.into_iter().filter(|version| *version <= latest_known()).max().unwrap_or_default();
            return Err(SchemaError::Older { found, needed: latest_known() });
        }
        self.schema_checked.store(true, Ordering::Release);
        Ok(())
    }

    /// The same, once it was found good without asking again.
    pub(crate) async fn schema_is_good(&self) -> Result<(), PortError> {
        if self.schema_checked.load(Ordering::Acquire) {
            return Ok(());
        }
        self.check_schema().await.map_err(|error| match error {
            SchemaError::Unavailable(error) => error,
            other => PortError::Unavailable { what: WHAT, cause: other.to_string() },
        })
    }
}

const INSUFFICIENT_PRIVILEGE: &str = "42501";
const UNDEFINED_TABLE: &str = "42P01";
