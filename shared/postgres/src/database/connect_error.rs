//! Why no connection can be made, in a sentence for the operator. Passwords are in none of them.

use std::io::ErrorKind;

use parlance_shared::port::PortError;
use sqlx::{Error, postgres::PgConnectOptions};

use super::error::{code, port_error, unavailable};

pub(super) fn is_refused(error: &Error) -> bool {
    matches!(code(error), Some("28P01" | "28000"))
}

/// The same for a login by an access token.
pub(super) fn with_token(options: &PgConnectOptions, error: Error) -> PortError {
    if !is_refused(&error) {
        return connect_error(options, error);
    }
    let says = error.as_database_error().map(|error| error.message()).unwrap_or_default();
    unavailable(format!(
        "{} does not let user {:?} in by an access token (DB_IAM_AUTH): {says}; check that the token's account is this user, \
         that it is among the instance's users with an IAM type and has roles/cloudsql.instanceUser, and that the instance \
         has the flag cloudsql.iam_authentication=on",
        server(options),
        options.get_username()
    ))
}

fn server(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(folder) => format!("{}/.s.PGSQL.{}", folder.display(), options.get_port()),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}

pub(super) fn connect_error(options: &PgConnectOptions, error: Error) -> PortError {
    let (user, database) = (options.get_username(), options.get_database().unwrap_or_default());
    let server = server(options);
    let sentence = match (&error, code(&error)) {
        (_, Some("28P01")) => format!("{server} refuses the password of user {user:?} (DB_PASSWORD)"),
        (_, Some("28000")) => {
            let says = error.as_database_error().map(|error| error.message()).unwrap_or_default();
            format!("{server} does not let user {user:?} in: {says}")
        }
        (_, Some("3D000")) => format!("{server} has no database {database:?} (DB_NAME); create it first"),
        // A setting of ours that earlier servers do not have.
        (_, Some("42704")) => format!("{server} is too old: PostgreSQL 14 or later is needed"),
        // To the database, or as the role of DB_ROLE.
        (_, Some("42501")) => {
            let says = error.as_database_error().map(|error| error.message()).unwrap_or_default();
            format!("user {user:?} may not connect to database {database:?} on {server}: {says}")
        }
        // The handshake's own errors come as those of the stream.
        (Error::Io(cause), _) if cause.kind() == ErrorKind::InvalidData => {
            format!("no encrypted connection to {server} (DB_SSL): {cause}")
        }
        (Error::Io(cause), _) => format!("{server} can't be reached: {cause}"),
        (Error::Tls(cause), _) => format!("no encrypted connection to {server} (DB_SSL): {cause}"),
        _ => return port_error(error),
    };
    unavailable(sentence)
}
