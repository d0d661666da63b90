//! The schema of a Postgres database, by the user that the settings name: its owner.

use std::fmt::Write as _;

use parlance_postgres::migrations;
use parlance_shared::settings::PostgresSettings;

use super::{Migration, applied_text, sentence, status_text};
use crate::cli::MigrateAction;

pub(super) async fn run(
    action: MigrateAction,
    users: &[String],
    database: &PostgresSettings,
) -> Result<String, String> {
    match action {
        MigrateAction::Init => init(database).await,
        MigrateAction::Validate => validate(database).await,
        MigrateAction::Status => status(database).await,
        MigrateAction::Stats => stats(database).await,
        MigrateAction::Grant => grant(database, users).await,
    }
}

async fn init(database: &PostgresSettings) -> Result<String, String> {
    let report = migrations::init(database).await.map_err(sentence)?;
    let made = if report.created { "created the schema; " } else { "" };
    Ok(made.to_owned() + &applied_text(&report.applied, report.version))
}

async fn validate(database: &PostgresSettings) -> Result<String, String> {
    let report = migrations::validate(database).await.map_err(sentence)?;
    if report.is_valid() {
        return Ok("valid: every migration is applied unchanged, and services can read every table\n".to_owned());
    }
    Err(report.problems().join("\n"))
}

async fn status(database: &PostgresSettings) -> Result<String, String> {
    let states = migrations::status(database).await.map_err(sentence)?;
    let migrations: Vec<_> = states
        .iter()
        .map(|state| Migration {
            version: state.version,
            description: &state.description,
            applied_at: state.applied_at,
            pending: state.pending,
        })
        .collect();
    Ok(status_text(&migrations))
}

async fn stats(database: &PostgresSettings) -> Result<String, String> {
    let stats = migrations::stats(database).await.map_err(sentence)?;
    let mut text = format!("{:<20} {:>12} {:>14}\n", "TABLE", "ROWS", "BYTES");
    for table in &stats.tables {
        // Large tables are not counted through.
        let rows = if table.estimated { format!("~{}", table.rows) } else { table.rows.to_string() };
        let _ = writeln!(text, "{:<20} {rows:>12} {:>14}", table.table, table.bytes);
    }
    let (bytes, connections, most) = (stats.bytes, stats.connections, stats.max_connections);
    let _ = writeln!(text, "database {bytes} bytes, {connections} of the server's {most} connections");
    Ok(text)
}

async fn grant(database: &PostgresSettings, users: &[String]) -> Result<String, String> {
    let mut text = String::new();
    for user in users {
        migrations::grant(database, user).await.map_err(|error| format!("{text}{error}"))?;
        let _ = writeln!(text, "{user} may do what services do in database {}", database.name);
    }
    Ok(text)
}
