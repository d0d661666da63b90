//! `parlance migrate init|validate|status|stats`: what the library knows of the schema, as text.

use std::{fmt::Write as _, io::Write as _, path::Path};

use parlance_shared::settings::Settings;
use parlance_sqlite::migrations::{self, MigrationState};

use crate::cli::MigrateAction;

/// Does what was asked in `DATA_DIR` and prints what it found.
///
/// # Errors
/// The sentence to end with; for `validate` also when the database is not as it should be.
pub async fn run(action: MigrateAction, settings: &Settings) -> Result<(), String> {
    let folder = settings.data_dir.as_path();
    let text = match action {
        MigrateAction::Init => init(folder).await,
        MigrateAction::Validate => validate(folder).await,
        MigrateAction::Status => status(folder).await,
        MigrateAction::Stats => stats(folder).await,
    }?;
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| format!("can't write to standard output: {error}"))
}

async fn init(folder: &Path) -> Result<String, String> {
    let report = migrations::init(folder).await.map_err(sentence)?;
    let made = if report.created { "created the database; " } else { "" };
    Ok(match report.applied.as_slice() {
        [] => format!("{made}nothing to apply: the schema is at version {}\n", report.version),
        applied => format!("{made}applied {}: the schema is at version {}\n", numbers(applied), report.version),
    })
}

async fn validate(folder: &Path) -> Result<String, String> {
    let report = migrations::validate(folder).await.map_err(sentence)?;
    if report.is_valid() {
        return Ok("valid: every migration is applied unchanged, and the file is whole\n".to_owned());
    }
    Err(report.problems().join("\n"))
}

async fn status(folder: &Path) -> Result<String, String> {
    let states = migrations::status(folder).await.map_err(sentence)?;
    let mut text = String::from("VERSION  APPLIED               DESCRIPTION\n");
    for state in &states {
        let _ = writeln!(text, "{:>7}  {:<20}  {}", state.version, applied(state), state.description);
    }
    let pending = states.iter().filter(|state| state.pending).count();
    let _ = writeln!(text, "{} applied, {pending} pending", states.len() - pending);
    Ok(text)
}

fn applied(state: &MigrationState) -> String {
    match state.applied_at {
        _ if state.pending => "pending".to_owned(),
        Some(at) => at.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        None => "at an unknown time".to_owned(),
    }
}

async fn stats(folder: &Path) -> Result<String, String> {
    let stats = migrations::stats(folder).await.map_err(sentence)?;
    let mut text = format!("{:<20} {:>12} {:>14}\n", "TABLE", "ROWS", "BYTES");
    for table in &stats.tables {
        let _ = writeln!(text, "{:<20} {:>12} {:>14}", table.table, table.rows, table.bytes);
    }
    let (file, free, wal) = (stats.file_bytes, stats.free_bytes, stats.wal_bytes);
    let _ = writeln!(text, "file {file} bytes ({free} free for new rows), recent commits {wal} bytes");
    Ok(text)
}

fn numbers(versions: &[i64]) -> String {
    versions.iter().map(i64::to_string).collect::<Vec<_>>().join(", ")
}

fn sentence(error: impl std::fmt::Display) -> String {
    error.to_string()
}
