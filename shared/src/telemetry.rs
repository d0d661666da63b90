//! Logs: readable lines in a terminal, Cloud Logging's JSON in production. One event per line, ids always, message
//! bodies never.

mod trace_lines;

use std::io::{IsTerminal as _, stdout};

use tracing_subscriber::{Layer as _, fmt, layer::SubscriberExt as _, registry, util::SubscriberInitExt as _};

use self::trace_lines::TraceLines;
use crate::settings::{Environment, Settings};

/// Sends this process' logs to standard error (development) or standard output (production).
///
/// # Errors
/// When a subscriber is already set.
pub fn start(settings: &Settings) -> Result<(), String> {
    let (registry, levels) = (registry(), settings.log_levels.clone());
    match settings.environment {
        Environment::Production => {
            let lines = TraceLines::new(stdout, settings.project());
            registry.with(tracing_stackdriver::layer().with_writer(lines).with_filter(levels)).try_init()
        }
        Environment::Development => {
            let terminal = fmt::layer()
                .compact()
                .with_target(false)
                .with_ansi(std::io::stderr().is_terminal())
                .with_writer(std::io::stderr);
            registry.with(terminal.with_filter(levels)).try_init()
        }
    }
    .map_err(|error| error.to_string())
}
