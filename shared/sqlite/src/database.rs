//! The one SQLite file of a data folder.

mod error;
pub mod migrations;
mod open;
mod writer;

use std::time::Duration;

use sqlx::{Sqlite, SqliteConnection, SqlitePool, pool::PoolConnection};

use parlance_shared::{Clock, id_mint::IdMint, key_mint::KeyMint, port::PortError, webhook::WebhookMint};

pub use self::open::{DatabaseOptions, OpenError};
use self::{
    open::FolderLock,
    writer::{Lane, Writer},
};

pub(crate) use self::error::{port_error, refused};

/// How long [`Database::close`] waits for readers.
const READERS_CLOSE: Duration = Duration::from_millis(500);

/// An open data folder. Clones share it; only one process can have it open.
#[derive(Clone)]
pub struct Database {
    writer: Writer,
    readers: SqlitePool,
    clock: Clock,
    id_secret: [u8; 32],
    epoch: std::sync::Arc<str>,
    _lock: std::sync::Arc<FolderLock>,
}

impl Database {
    /// Runs `job` in a write transaction of its own or together with other jobs, and returns once it is committed.
    ///
    /// The job may run more than once (when another job in the same transaction failed), each time from a clean slate;
    /// an error undoes what it wrote. Everything it refuses by rule (a lost lease, say) it returns as a value.
    pub(crate) async fn write<T, F>(&self, job: F) -> Result<T, PortError>
    where
        T: Send + 'static,
        F: AsyncFnMut(&mut SqliteConnection) -> sqlx::Result<T> + Send + 'static,
    {
        self.writer.write(Lane::Prompt, job, |_| ()).await
    }

    /// Like [`Database::write`]; `after` runs right after the commit even if the caller has gone away by then, so that a
    /// wake-up is never lost.
    pub(crate) async fn write_then<T, F, A>(&self, job: F, after: A) -> Result<T, PortError>
    where
        T: Send + 'static,
        F: AsyncFnMut(&mut SqliteConnection) -> sqlx::Result<T> + Send + 'static,
        A: FnOnce(&T) + Send + 'static,
    {
        self.writer.write(Lane::Prompt, job, after).await
    }

    /// Like [`Database::write`] for what nobody waits for: it may take some milliseconds longer, and costs less.
    pub(crate) async fn write_in_background<T, F>(&self, job: F) -> Result<T, PortError>
    where
        T: Send + 'static,
        F: AsyncFnMut(&mut SqliteConnection) -> sqlx::Result<T> + Send + 'static,
    {
        self.writer.write(Lane::Background, job, |_| ()).await
    }

    /// Moves all commits into the database file and empties the log of them. False when somebody was reading just now.
    pub(crate) async fn checkpoint(&self) -> Result<bool, PortError> {
        self.writer.checkpoint().await
    }

    /// A connection that sees all that is committed and can't write.
    pub(crate) async fn read(&self) -> Result<PoolConnection<Sqlite>, PortError> {
        self.readers.acquire().await.map_err(port_error)
    }

    /// The clock that stamps rows.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Names this opening of the folder: leases of any other epoch belong to a dead process.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// Makes and recognises this folder's ids.
    pub fn id_mint(&self) -> IdMint {
        IdMint::new(&self.id_secret, self.clock.clone())
    }

    /// Makes and recognises this folder's keys.
    pub fn key_mint(&self) -> KeyMint {
        KeyMint::new(&self.id_secret)
    }

    /// Makes the secrets that sign this folder's webhooks.
    pub fn webhook_mint(&self) -> WebhookMint {
        WebhookMint::new(&self.id_secret)
    }

    /// Commits what is queued and closes the file. Later calls fail.
    pub async fn close(&self) {
        // The last connection moves the recent commits into the database file, which is whole by itself then; a reader
        // could not. One that is still at work is not waited for long: no commit depends on it.
        let _ = tokio::time::timeout(READERS_CLOSE, self.readers.close()).await;
        self.writer.close().await;
    }
}
