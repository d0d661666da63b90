//! Logs: readable lines in a terminal, Cloud Logging's JSON in production. One event per line, ids always, message
//! bodies never.

use std::io::IsTerminal as _;

use tracing_subscriber::{
    Layer as _, filter::Targets, fmt, layer::SubscriberExt as _, registry, util::SubscriberInitExt as _,
};

use crate::settings::Environment;

/// Sends this process' logs to standard error (development) or standard output (production).
///
/// # Errors
/// When a subscriber is already set.
pub fn start(environment: Environment, levels: &Targets) -> Result<(), String> {
    let registry = registry();
    match environment {
        Environment::Production => registry.with(tracing_stackdriver::layer().with_filter(levels.clone())).try_init(),
        Environment::Development => {
            let terminal = fmt::layer()
                .compact()
                .with_target(false)
                .with_ansi(std::io::stderr().is_terminal())
                .with_writer(std::io::stderr);
            registry.with(terminal.with_filter(levels.clone())).try_init()
        }
    }
    .map_err(|error| error.to_string())
}
