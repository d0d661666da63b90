//! The operator's connection: as whoever the settings name, without the services' limits of time.

use parlance_shared::settings::PostgresSettings;
use sqlx::{Error, PgConnection, postgres::PgDatabaseError};

use super::MigrationError;
use crate::database::{
    dedicated::connect_with,
    error::{code, port_error},
};

/// DDL that waits for a table makes everyone else wait behind it: it gives up soon.
const SESSION: [(&str, &str); 2] = [("statement_timeout", "0"), ("lock_timeout", "5s")];

pub(super) async fn connect(settings: &PostgresSettings) -> Result<PgConnection, MigrationError> {
    Ok(connect_with(settings, &SESSION).await?)
}

/// Sorts what a statement of these modules can fail with.
pub(super) fn sorted(settings: &PostgresSettings, error: Error) -> MigrationError {
    match code(&error) {
        Some("42501") => not_allowed(settings, &error),
        Some("55P03") => MigrationError::Busy { cause: message(&error).to_owned() },
        _ => MigrationError::Port(port_error(error)),
    }
}

fn not_allowed(settings: &PostgresSettings, error: &Error) -> MigrationError {
    let (user, name, says) = (&settings.user, &settings.name, message(error));
    let hint = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>()?.hint());
    let remedy = match hint {
        Some(hint) => hint.to_owned(),
        None => format!("run this as the owner of database {name:?}"),
    };
    MigrationError::NotAllowed { sentence: format!("user {user:?} may not do that: {says}; {remedy}") }
}

pub(super) fn message(error: &Error) -> &str {
    error.as_database_error().map(|error| error.message()).unwrap_or_default()
}
