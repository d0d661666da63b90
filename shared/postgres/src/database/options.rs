//! What is told to the server when a connection is made.

use std::time::Duration;

use parlance_shared::settings::{PostgresSettings, SslMode};
use sqlx::{
    ConnectOptions as _,
    postgres::{PgConnectOptions, PgSslMode},
};

/// A writer that waits longer for another's row has met one that hangs.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// Nothing of ours pauses within a transaction; a connection that does has lost its process.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(15);
/// The server closes what a quiet process has not used for so long, so that idle instances don't hold its connections.
const IDLE_SESSION: Duration = Duration::from_secs(600);
const STATEMENTS_PREPARED: usize = 128;

/// For every connection. What the environment has set for other Postgres programs (`PGHOST`, `PGPASSWORD` and so on) does
/// not count.
fn to_server(settings: &PostgresSettings) -> PgConnectOptions {
    let ssl = match settings.ssl {
        // Postgres never encrypts a Unix socket, and clients of its own ignore the mode there.
        _ if settings.is_socket() => PgSslMode::Disable,
        SslMode::Disable => PgSslMode::Disable,
        SslMode::Prefer => PgSslMode::Prefer,
        SslMode::Require => PgSslMode::Require,
        SslMode::VerifyCa => PgSslMode::VerifyCa,
        SslMode::VerifyFull => PgSslMode::VerifyFull,
    };
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(&settings.host)
        .port(settings.port)
        .database(&settings.name)
        .username(&settings.user)
        .password(settings.password.as_ref().map(|password| password.expose()).unwrap_or_default())
        .ssl_mode(ssl)
        .application_name("parlance")
        .statement_cache_capacity(STATEMENTS_PREPARED)
        .disable_statement_logging()
        // Tables are found by name: those of this schema, whatever a role's own settings say.
        .options([("search_path", "public")]);
    if settings.is_socket() {
        options = options.socket(&settings.host);
    }
    if let Some(file) = &settings.ssl_root_cert {
        options = options.ssl_root_cert(file);
    }
    if let Some(role) = &settings.role {
        options = options.options([("role", role)]);
    }
    options
}

/// For the pool's connections.
pub(super) fn pooled(settings: &PostgresSettings) -> PgConnectOptions {
    to_server(settings).options([
        ("statement_timeout", millis(settings.statement_timeout)),
        ("lock_timeout", millis(LOCK_TIMEOUT.min(settings.statement_timeout))),
        ("idle_in_transaction_session_timeout", millis(IDLE_IN_TRANSACTION)),
        ("idle_session_timeout", millis(IDLE_SESSION)),
    ])
}

/// For a connection that one part of the program keeps for itself: with the same bounds on statements, but never closed
/// for being idle. `session` adds to them or replaces them.
pub(super) fn dedicated(settings: &PostgresSettings, session: &[(&str, &str)]) -> PgConnectOptions {
    to_server(settings)
        .options([
            ("statement_timeout", millis(settings.statement_timeout)),
            ("lock_timeout", millis(LOCK_TIMEOUT.min(settings.statement_timeout))),
            ("idle_in_transaction_session_timeout", millis(IDLE_IN_TRANSACTION)),
        ])
        .options(session.iter().copied())
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}
