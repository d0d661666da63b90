//! Sorts SQLite's errors by what a caller can do about them.

use parlance_shared::port::PortError;

const WHAT: &str = "the database";

/// A rule of ours that the data break: undoes the job like any error, and repeating it can't help.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refusal(String);

pub(crate) fn refused(cause: impl Into<String>) -> sqlx::Error {
    sqlx::Error::Encode(Box::new(Refusal(cause.into())))
}

pub(crate) fn port_error(error: sqlx::Error) -> PortError {
    if let sqlx::Error::Encode(inner) = &error
        && let Some(Refusal(cause)) = inner.downcast_ref()
    {
        return PortError::Rejected { what: WHAT, cause: cause.clone() };
    }
    let cause = error.to_string();
    let primary = match &error {
        sqlx::Error::Database(database) => {
            database.code().and_then(|code| code.parse::<u32>().ok()).map(|extended| extended & 0xff)
        }
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::Encode(_) => Some(SQLITE_MISMATCH),
        _ => None,
    };
    match primary {
        Some(SQLITE_FULL) => PortError::Full { what: WHAT, cause },
        Some(SQLITE_CONSTRAINT | SQLITE_MISMATCH | SQLITE_TOOBIG) => PortError::Rejected { what: WHAT, cause },
        _ => PortError::Unavailable { what: WHAT, cause },
    }
}

pub(super) fn unavailable(cause: impl Into<String>) -> PortError {
    PortError::Unavailable { what: WHAT, cause: cause.into() }
}

// Primary result codes, https://sqlite.org/rescode.html
const SQLITE_FULL: u32 = 13;
const SQLITE_TOOBIG: u32 = 18;
const SQLITE_CONSTRAINT: u32 = 19;
const SQLITE_MISMATCH: u32 = 20;
