//! `parlance`: everything in one process; `parlance migrate …`: the schema's keeper.

use std::process::ExitCode;

use clap::Parser as _;
use parlance::cli::{Cli, Command};
use parlance_shared::{settings::Settings, telemetry};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let settings = match Settings::from_environment() {
        Ok(settings) => settings,
        Err(errors) => return parlance::cli::refuse(&format!("these settings can't be used:\n{errors}")),
    };
    let outcome = match cli.command {
        None => match telemetry::start(settings.environment, &settings.log_levels) {
            Ok(()) => parlance::run(settings).await.map_err(|error| error.to_string()),
            Err(error) => Err(error),
        },
        Some(Command::Migrate { action }) => parlance::migrate::run(action, &settings).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => parlance::cli::fail(&sentence),
    }
}
