//! `parlance migrate init|validate|status|stats|grant`: what the adapters know of their schemas, as text.

mod postgres;
mod sqlite;

use std::{fmt::Write as _, io::Write as _};

use chrono::{DateTime, Utc};
use parlance_shared::settings::{DatabaseSettings, Settings};

use crate::cli::MigrateAction;

/// Does what was asked with the database of the settings and prints what it found.
///
/// # Errors
/// The sentence to end with; for `validate` also when the database is not as it should be.
pub async fn run(action: MigrateAction, users: &[String], settings: &Settings) -> Result<(), String> {
    if let ([user, ..], true) = (users, action != MigrateAction::Grant) {
        return Err(format!("{user:?} is one word too many: only `parlance migrate grant` takes a user"));
    }
    let text = match &settings.database {
        DatabaseSettings::Sqlite { .. } => sqlite::run(action, &settings.data_dir).await,
        DatabaseSettings::Postgres(database) => postgres::run(action, users, database).await,
    }?;
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| format!("can't write to standard output: {error}"))
}

/// One line of `status`.
struct Migration<'a> {
    version: i64,
    description: &'a str,
    applied_at: Option<DateTime<Utc>>,
    pending: bool,
}

fn status_text(migrations: &[Migration<'_>]) -> String {
    let mut text = String::from("VERSION  APPLIED               DESCRIPTION\n");
    for migration in migrations {
        let applied = match migration.applied_at {
            _ if migration.pending => "pending".to_owned(),
            Some(at) => at.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
            None => "at an unknown time".to_owned(),
        };
        let _ = writeln!(text, "{:>7}  {applied:<20}  {}", migration.version, migration.description);
    }
    let pending = migrations.iter().filter(|migration| migration.pending).count();
    let _ = writeln!(text, "{} applied, {pending} pending", migrations.len() - pending);
    text
}

fn applied_text(applied: &[i64], version: i64) -> String {
    let numbers = applied.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
    match applied {
        [] => format!("nothing to apply: the schema is at version {version}\n"),
        _ => format!("applied {numbers}: the schema is at version {version}\n"),
    }
}

fn sentence(error: impl std::fmt::Display) -> String {
    error.to_string()
}
