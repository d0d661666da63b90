//! Opens a folder's database to look at it. SQLite may leave its (empty) `-wal` and `-shm` files beside it, as any reader of
//! a WAL database does; nothing else is made or changed.

use std::{
    io,
    path::{Path, PathBuf},
};

use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use crate::database::open;

/// Why a folder's database can't be looked at: one sentence for the person who asked.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// There is none.
    #[error("there is no database in {}; `parlance migrate init` makes one, or set DATA_DIR to the folder that has it", folder.display())]
    Missing {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder or the file can't be read.
    #[error("the data folder {} can't be read: {cause}", folder.display())]
    NotReadable {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// The file is something else.
    #[error("{} is not a database", file.display())]
    NotADatabase {
        /// The file.
        file: PathBuf,
    },
    /// It can't be read.
    #[error("the database in {} can't be read: {cause}", folder.display())]
    Broken {
        /// The folder.
        folder: PathBuf,
        /// What SQLite says.
        cause: sqlx::Error,
    },
}

/// A folder's database, opened for reading.
pub(super) struct Inspection {
    pub(super) connection: SqliteConnection,
    folder: PathBuf,
}

impl Inspection {
    /// `None` when the folder has no database.
    pub(super) async fn open(folder: &Path) -> Result<Option<Self>, InspectError> {
        let file = open::file(folder);
        match std::fs::File::open(&file) {
            Ok(_) => {}
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(InspectError::NotReadable { folder: folder.to_owned(), cause }),
        }
        let connection = connect(folder).await.map_err(|cause| sorted(folder, cause))?;
        Ok(Some(Self { connection, folder: folder.to_owned() }))
    }

    pub(super) fn failed(&self, cause: sqlx::Error) -> InspectError {
        sorted(&self.folder, cause)
    }

    pub(super) async fn close(self) {
        // Nothing was written, so there is nothing that closing could fail to keep.
        drop(self.connection.close().await);
    }
}

/// Readers of a WAL database share an index file. Where it can't be made, in a read-only folder, nobody writes either, so
/// the file may be read as one that never changes; unless a WAL is left, whose content would be missed.
async fn connect(folder: &Path) -> sqlx::Result<SqliteConnection> {
    let reader = || open::connect_options(folder).read_only(true);
    let first = match probed(reader()).await {
        Err(error) if !has_wal(folder) && is_cant_open(&error) => error,
        outcome => return outcome,
    };
    probed(reader().immutable(true)).await.map_err(|_| first)
}

/// Opening reads nothing yet; this reads the first page.
async fn probed(options: sqlx::sqlite::SqliteConnectOptions) -> sqlx::Result<SqliteConnection> {
    let mut connection = options.connect().await?;
    sqlx::query("SELECT count(*) FROM sqlite_schema").execute(&mut connection).await?;
    Ok(connection)
}

fn has_wal(folder: &Path) -> bool {
    std::fs::metadata(wal_file(folder)).is_ok_and(|wal| wal.len() > 0)
}

pub(super) fn wal_file(folder: &Path) -> PathBuf {
    let mut name = open::file(folder).into_os_string();
    name.push("-wal");
    name.into()
}

fn sorted(folder: &Path, cause: sqlx::Error) -> InspectError {
    if primary_code(&cause) == Some(SQLITE_NOTADB) {
        return InspectError::NotADatabase { file: open::file(folder) };
    }
    InspectError::Broken { folder: folder.to_owned(), cause }
}

fn is_cant_open(error: &sqlx::Error) -> bool {
    matches!(primary_code(error), Some(SQLITE_READONLY | SQLITE_CANTOPEN))
}

fn primary_code(error: &sqlx::Error) -> Option<u32> {
    error.as_database_error()?.code()?.parse::<u32>().ok().map(|extended| extended & 0xff)
}

// Primary result codes, https://sqlite.org/rescode.html
const SQLITE_READONLY: u32 = 8;
const SQLITE_CANTOPEN: u32 = 14;
const SQLITE_NOTADB: u32 = 26;
