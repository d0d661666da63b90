//! Brings a folder up to date.

use std::path::Path;

use super::status::status;
use crate::{Database, DatabaseOptions, OpenError};

/// What [`init`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitReport {
    /// There was no database before.
    pub created: bool,
    /// The migrations that were applied now, by version.
    pub applied: Vec<i64>,
    /// The version that the database has now.
    pub version: i64,
}

/// Makes the folder and its database if missing and applies what is pending, the way the program does when it starts.
///
/// # Errors
/// See [`OpenError`]; among them that another process has the folder open.
pub async fn init(folder: &Path) -> Result<InitReport, OpenError> {
    // A database that can't be read says so when it is opened for writing, with the better reason.
    let before = status(folder).await.unwrap_or_default();
    let created = !crate::database::open::file(folder).exists();
    Database::open(DatabaseOptions::new(folder)).await?.close().await;
    Ok(InitReport {
        created,
        applied: before.iter().filter(|state| state.pending).map(|state| state.version).collect(),
        version: super::latest_known(),
    })
}
