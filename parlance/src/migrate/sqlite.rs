//! The schema of the database in `DATA_DIR`.

use std::{fmt::Write as _, path::Path};

use parlance_sqlite::migrations;

use super::{Migration, applied_text, sentence, status_text};
use crate::cli::MigrateAction;

pub(super) async fn run(action: MigrateAction, folder: &Path) -> Result<String, String> {
    match action {
        MigrateAction::Init => init(folder).await,
        MigrateAction::Validate => validate(folder).await,
        MigrateAction::Status => status(folder).await,
        MigrateAction::Stats => stats(folder).await,
        MigrateAction::Grant => {
            Err("the embedded database has no users: `parlance migrate grant` is for Postgres".to_owned())
        }
    }
}

async fn init(folder: &Path) -> Result<String, String> {
    let report = migrations::init(folder).await.map_err(sentence)?;
    let made = if report.created { "created the database; " } else { "" };
    Ok(made.to_owned() + &applied_text(&report.applied, report.version))
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
