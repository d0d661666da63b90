//! Opens a data folder: lock it, migrate it, tell which ids are its own.

use std::{
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sqlx::{
    ConnectOptions as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous as Synchronous},
};
use uuid::Uuid;

use parlance_shared::{Clock, id_mint::IdMint, settings::SqliteSynchronous};

use super::{Database, migrations, writer::Writer};

const FILE: &str = "parlance.db";
const LOCK_FILE: &str = "parlance.lock";
const READERS: u32 = 4;

/// How to open a data folder.
#[derive(Clone, Debug)]
pub struct DatabaseOptions {
    /// The folder; made if missing.
    pub folder: PathBuf,
    /// When a commit counts as written.
    pub synchronous: SqliteSynchronous,
    /// The file may not grow beyond this many pages of 4 KiB; `None` leaves it to the disk.
    pub max_pages: Option<u32>,
    /// Stamps rows.
    pub clock: Clock,
}

impl DatabaseOptions {
    /// The defaults for a folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), synchronous: SqliteSynchronous::Normal, max_pages: None, clock: Clock::system() }
    }
}

/// Why a data folder can't be opened: one sentence for the person who started the program.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It can't be made or written.
    #[error("the data folder {} can't be written: {cause}; set DATA_DIR to a folder that can", folder.display())]
    NotWritable {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// Another process has it open.
    #[error("the data folder {} is in use by another process; stop that one, or set DATA_DIR to another folder", folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// Its schema is not ours.
    #[error(transparent)]
    Migration(#[from] migrations::MigrationError),
    /// It is no database, or broken.
    #[error("the database in {} can't be opened: {cause}", folder.display())]
    Broken {
        /// The folder.
        folder: PathBuf,
        /// What SQLite says.
        cause: sqlx::Error,
    },
    /// No thread can be started.
    #[error("the database's writer can't be started: {0}")]
    NoThread(io::Error),
}

/// Held as long as the folder is open; the system lets go of it when the process dies, however it dies.
pub(super) struct FolderLock(#[allow(dead_code, reason = "dropping it unlocks")] File);

impl Database {
    /// Opens a data folder, applying pending migrations.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(options: DatabaseOptions) -> Result<Self, OpenError> {
        let folder = options.folder.clone();
        let broken = |cause| OpenError::Broken { folder: folder.clone(), cause };
        let lock = lock_folder(&folder)?;
        let mut writer = connect_writer(&options).await.map_err(&broken)?;
        migrations::run(&mut writer).await?;
        let id_secret = id_secret(&mut writer, &options.clock).await.map_err(&broken)?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .min_connections(1)
            .acquire_timeout(Duration::from_secs(5))
            .test_before_acquire(false)
            .connect_with(connect_options(&folder).read_only(true))
            .await
            .map_err(&broken)?;
        Ok(Self {
            writer: Writer::start(writer).map_err(OpenError::NoThread)?,
            readers,
            clock: options.clock,
            id_secret,
            epoch: Uuid::new_v4().simple().to_string().into(),
            _lock: Arc::new(lock),
        })
    }
}

/// The database file of a folder.
pub(super) fn file(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

pub(super) fn lock_folder(folder: &Path) -> Result<FolderLock, OpenError> {
    let not_writable = |cause| OpenError::NotWritable { folder: folder.to_owned(), cause };
    std::fs::create_dir_all(folder).map_err(not_writable)?;
    let lock =
        File::options().create(true).truncate(false).write(true).open(folder.join(LOCK_FILE)).map_err(not_writable)?;
    match lock.try_lock() {
        Ok(()) => Ok(FolderLock(lock)),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { folder: folder.to_owned() }),
        Err(TryLockError::Error(cause)) => Err(not_writable(cause)),
    }
}

pub(super) fn connect_options(folder: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file(folder))
        .busy_timeout(Duration::from_secs(5))
        .foreign_keys(false)
        .statement_cache_capacity(128)
        .pragma("temp_store", "memory")
        .disable_statement_logging()
}

async fn connect_writer(options: &DatabaseOptions) -> sqlx::Result<SqliteConnection> {
    let synchronous = match options.synchronous {
        SqliteSynchronous::Normal => Synchronous::Normal,
        SqliteSynchronous::Full => Synchronous::Full,
    };
    let mut connect = connect_options(&options.folder)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        // What is deleted is overwritten, in the file's free pages as well.
        .pragma("secure_delete", "on")
        .pragma("journal_size_limit", "67108864");
    if let Some(pages) = options.max_pages {
        connect = connect.pragma("max_page_count", pages.to_string());
    }
    connect.connect().await
}

async fn id_secret(connection: &mut SqliteConnection, clock: &Clock) -> sqlx::Result<[u8; 32]> {
    let fresh = IdMint::fresh_secret().to_vec();
    let now = clock.now_millis();
    sqlx::query!(
        "INSERT INTO instance (only_row, id_secret, created_at) VALUES (1, ?, ?) ON CONFLICT DO NOTHING",
        fresh,
        now
    )
    .execute(&mut *connection)
    .await?;
    let stored = sqlx::query_scalar!("SELECT id_secret FROM instance").fetch_one(connection).await?;
    <[u8; 32]>::try_from(stored).map_err(|_| sqlx::Error::Decode("the id secret has not 32 bytes".into()))
}
