//! The embedded bus and record of `DATA_DIR`: through the process that has it open, or by opening it.

use std::{path::Path, sync::Arc, time::Duration};

use parlance_shared::{Clock, settings::Settings};
use parlance_sqlite::{
    Database, DatabaseOptions, OpenError, SqliteBus, SqliteStore, SqliteUsers,
    migrations::{self, InspectError},
};
use tokio::time::Instant;

use super::{Operator, socket::Remote};

/// A process that starts has the folder for a moment before it serves the socket, and one that stops for a moment after.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

/// The operators' side of the embedded adapters. Makes no database where there is none, and migrates none.
///
/// # Errors
/// One sentence for the person who asked.
pub async fn open(settings: &Settings) -> Result<Operator, String> {
    let folder = settings.data_dir.as_path();
    let give_up = Instant::now() + PATIENCE;
    loop {
        if let Some(remote) = Remote::find(folder).await {
            let remote = Arc::new(remote);
            return Ok(Operator::new(remote.clone(), remote.clone(), remote, Clock::system()));
        }
        check(folder).await?;
        let options = DatabaseOptions { synchronous: settings.sqlite_synchronous, ..DatabaseOptions::new(folder) };
        match Database::open(options).await {
            Ok(database) => return Ok(opened(database)),
            Err(OpenError::InUse { .. }) if Instant::now() < give_up => tokio::time::sleep(PAUSE).await,
            Err(OpenError::InUse { folder }) => {
                return Err(format!(
                    "the data folder {} is in use by a process that serves no socket for operators; see its log, or stop it",
                    folder.display()
                ));
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}

fn opened(database: Database) -> Operator {
    let (bus, store) = (SqliteBus::new(database.clone()), SqliteStore::new(database.clone()));
    let users = SqliteUsers::new(database.clone());
    let clock = database.clock().clone();
    Operator { database: Some(database), ..Operator::new(Arc::new(bus), Arc::new(store), Arc::new(users), clock) }
}

async fn check(folder: &Path) -> Result<(), String> {
    let states = migrations::status(folder).await.map_err(|error| error.to_string())?;
    if states.iter().all(|state| state.pending) {
        return Err(InspectError::Missing { folder: folder.to_owned() }.to_string());
    }
    if states.iter().any(|state| state.pending) {
        return Err(format!(
            "the database in {} is older than this program; `parlance migrate init` brings it up to date",
            folder.display()
        ));
    }
    Ok(())
}
