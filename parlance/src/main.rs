//! `parlance`: everything in one process; `parlance migrate`, `pubsub`, `dead-letters`, `replay`, `users`, `keys`, `webhooks`, `audit`, `cost`: the operators' tools.

use std::process::ExitCode;

use clap::Parser as _;
use parlance::cli::{Cli, Command};
use parlance_shared::{
    settings::{Role, Settings},
    telemetry,
};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let settings = match Settings::from_environment() {
        Ok(settings) => settings,
        Err(errors) => return parlance::cli::refuse(&format!("these settings can't be used:\n{errors}")),
    };
    let outcome = match cli.command {
        None => match settings.check_for(Role::AllInOne).map_err(|errors| errors.to_string()) {
            Err(errors) => return parlance::cli::refuse(&format!("these settings can't be used:\n{errors}")),
            Ok(()) => serve(settings).await,
        },
        Some(Command::Migrate { action, users }) => parlance::migrate::run(action, &users, &settings).await,
        Some(Command::Pubsub { action }) => return parlance::pubsub_setup::run(action, &settings).await,
        Some(Command::DeadLetters { action }) => return parlance::dead_letters::run(action, &settings).await,
        Some(Command::Replay(replay)) => return parlance::replay::run(replay, &settings).await,
        Some(Command::Webhooks { action }) => return parlance::webhooks::run(action, &settings).await,
        Some(Command::Keys { action }) => return parlance::keys::run(action, &settings).await,
        Some(Command::Audit(audit)) => return parlance::audit::run(audit, &settings).await,
        Some(Command::Users { action }) => return parlance::users::run(action, &settings).await,
        Some(Command::Cost(cost)) => return parlance::cost::run(&cost, &settings.prices),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => parlance::cli::fail(&sentence),
    }
}

async fn serve(settings: Settings) -> Result<(), String> {
    telemetry::start(&settings)?;
    parlance::run(settings).await.map_err(|error| error.to_string())
}
