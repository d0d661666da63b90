//! A look into the data folder as SQLite shows it, and at what the library finds there.

use std::path::Path;

use parlance_shared::{
    Lifecycle,
    port::bus::{BusAdmin as _, DeadLetter},
    topology,
};
use parlance_sqlite::{Database, DatabaseOptions, SqliteBus, SqliteTurns};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode},
};
use tempfile::TempDir;
use tokio::time::Duration;

/// A connection beside whoever has the folder open.
pub struct Folder {
    connection: SqliteConnection,
    _copy: Option<TempDir>,
}

impl Folder {
    pub async fn open(path: &Path) -> Self {
        let connection = SqliteConnectOptions::new()
            .filename(path.join("parlance.db"))
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(Duration::from_secs(5))
            .connect()
            .await
            .unwrap();
        Self { connection, _copy: None }
    }

    /// A copy, as a crash at this moment would leave it. Whoever writes to the folder must be paused.
    pub async fn copied(path: &Path) -> Self {
        let copy = tempfile::tempdir().unwrap();
        for name in ["parlance.db", "parlance.db-wal"] {
            std::fs::copy(path.join(name), copy.path().join(name)).unwrap();
        }
        let opened = Self::open(copy.path()).await;
        Self { _copy: Some(copy), ..opened }
    }

    /// One number.
    pub async fn number(&mut self, sql: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut self.connection).await.unwrap()
    }

    /// Changes something.
    pub async fn execute(&mut self, sql: &str) {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut self.connection).await.unwrap();
    }
}

/// What the library does with a folder that no server has open.
pub struct Opened {
    pub database: Database,
    pub bus: SqliteBus,
    pub turns: SqliteTurns,
    lifecycle: Lifecycle,
}

impl Opened {
    /// Opens the folder the way a server does.
    pub async fn open(path: &Path) -> Self {
        let database = Database::open(DatabaseOptions::new(path)).await.unwrap();
        let lifecycle = Lifecycle::new();
        let bus = SqliteBus::new(database.clone());
        let turns = SqliteTurns::start(database.clone(), &lifecycle);
        Self { database, bus, turns, lifecycle }
    }

    /// llm-worker's dead letters.
    pub async fn dead_letters(&self) -> Vec<DeadLetter> {
        self.bus.dead_letters(topology::LLM_WORKER).await.unwrap().next_page().await.unwrap()
    }

    /// Lets go of the folder.
    pub async fn close(self) {
        assert!(self.lifecycle.stop(Duration::from_secs(5), Duration::from_secs(5)).await);
        self.database.close().await;
    }
}
