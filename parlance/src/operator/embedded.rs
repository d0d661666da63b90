//! The embedded bus and record of `DATA_DIR`: through the process that has it open, or by opening it.

use std::{path::Path, sync::Arc, time::Duration};

use parlance_shared::{Clock, Lifecycle, key_mint::KeyMint, settings::Settings, webhook::WebhookMint};
use parlance_sqlite::{
    Database, DatabaseOptions, OpenError, SqliteAudit, SqliteBus, SqliteKeys, SqliteStore, SqliteUsers,
    migrations::{self, InspectError},
};
use tokio::time::Instant;

use super::{KeyMaker, Operator, socket::Remote};

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
            return Ok(Operator {
                admin: remote.clone(),
                store: remote.clone(),
                users: remote.clone(),
                keys: remote.clone(),
                audit: remote.clone(),
                key_maker: KeyMaker::Remote(remote),
                clock: Clock::system(),
                database: None,
                lifecycle: Lifecycle::new(),
            });
        }
        check(folder).await?;
        let options = DatabaseOptions { synchronous: settings.sqlite_synchronous, ..DatabaseOptions::new(folder) };
        match Database::open(options).await {
            Ok(database) => return Ok(opened(database, settings)),
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

fn opened(database: Database, settings: &Settings) -> Operator {
    let secret = settings.id_secret.as_ref();
    let mint = secret.map_or_else(|| database.key_mint(), |secret| KeyMint::new(secret.expose()));
    let webhook_mint = secret.map_or_else(|| database.webhook_mint(), |secret| WebhookMint::new(secret.expose()));
    Operator {
        admin: Arc::new(SqliteBus::new(database.clone())),
        store: Arc::new(SqliteStore::new(database.clone())),
        users: Arc::new(SqliteUsers::new(database.clone())),
        keys: Arc::new(SqliteKeys::new(database.clone())),
        audit: Arc::new(SqliteAudit::new(database.clone())),
        key_maker: KeyMaker::Mint(mint, webhook_mint),
        clock: database.clock().clone(),
        database: Some(database),
        lifecycle: Lifecycle::new(),
    }
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
