//! Sorts Postgres' errors by what a caller can do about them, and by whether the connection is still of use.

use parlance_shared::port::PortError;
use sqlx::{Error, postgres::PgDatabaseError};

pub(super) const WHAT: &str = "the database";

/// A rule of ours that the data break: undoes the work like any error, and repeating it can't help.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refusal(String);

pub(crate) fn refused(cause: impl Into<String>) -> Error {
    Error::Encode(Box::new(Refusal(cause.into())))
}

pub(crate) fn unavailable(cause: impl Into<String>) -> PortError {
    PortError::Unavailable { what: WHAT, cause: cause.into() }
}

pub(crate) fn port_error(error: Error) -> PortError {
    let cause = described(&error);
    match &error {
        Error::Encode(_) | Error::Decode(_) | Error::ColumnDecode { .. } | Error::RowNotFound => {
            PortError::Rejected { what: WHAT, cause }
        }
        Error::Database(_) => match code(&error).unwrap_or_default() {
            DISK_FULL => PortError::Full { what: WHAT, cause },
            // Data exceptions, broken constraints, beyond a limit of the server's.
            code if ["22", "23", "54"].contains(&class(code)) => PortError::Rejected { what: WHAT, cause },
            _ => PortError::Unavailable { what: WHAT, cause },
        },
        _ => PortError::Unavailable { what: WHAT, cause },
    }
}

/// For the log: what Postgres says, with the code by which it can be looked up. No statement, no values.
fn described(error: &Error) -> String {
    match error {
        Error::Encode(inner) if inner.is::<Refusal>() => inner.to_string(),
        Error::Database(database) => match database.code() {
            Some(code) => format!("{} ({code})", database.message()),
            None => database.message().to_owned(),
        },
        other => other.to_string(),
    }
}

/// The connection, and most likely every other one that was made before, is of no use any more: it was cut, the server is
/// going down or coming up, or it is now a standby. A fresh one may find the server that took over.
pub(super) fn spoils_connections(error: &Error) -> bool {
    match error {
        Error::Io(_) | Error::Tls(_) | Error::Protocol(_) | Error::WorkerCrashed => true,
        Error::Database(_) => {
            let code = code(error).unwrap_or_default();
            class(code) == "08"
                || [
                    ADMIN_SHUTDOWN,
                    CRASH_SHUTDOWN,
                    CANNOT_CONNECT_NOW,
                    DATABASE_DROPPED,
                    IDLE_SESSION_TIMEOUT,
                    IDLE_IN_TRANSACTION_TIMEOUT,
                    READ_ONLY_TRANSACTION,
                ]
                .contains(&code)
        }
        _ => false,
    }
}

/// Another transaction was in the way and this one was undone: the same work can be done at once.
pub(super) fn undone_by_another(error: &Error) -> bool {
    matches!(code(error), Some(SERIALIZATION_FAILURE | DEADLOCK_DETECTED))
}

pub(super) fn code(error: &Error) -> Option<&str> {
    Some(error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?.code())
}

fn class(code: &str) -> &str {
    code.get(..2).unwrap_or_default()
}

// https://www.postgresql.org/docs/current/errcodes-appendix.html
const READ_ONLY_TRANSACTION: &str = "25006";
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "25P03";
const SERIALIZATION_FAILURE: &str = "40001";
const DEADLOCK_DETECTED: &str = "40P01";
const DISK_FULL: &str = "53100";
const ADMIN_SHUTDOWN: &str = "57P01";
const CRASH_SHUTDOWN: &str = "57P02";
const CANNOT_CONNECT_NOW: &str = "57P03";
const DATABASE_DROPPED: &str = "57P04";
const IDLE_SESSION_TIMEOUT: &str = "57P05";
