//! A service's life, from its settings to its end.

use std::{future::Future, io::Write as _, process::ExitCode};

use parlance_shared::{
    Lifecycle,
    settings::{Role, Settings},
    telemetry,
};
use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::{StartError, listen::listen, stop, stop_signal};

/// What a service is started with.
pub struct Start {
    /// Checked for its role.
    pub settings: Settings,
    /// To spawn on, and to stop by.
    pub lifecycle: Lifecycle,
    /// Bound already: a port that is taken is known before anything is begun.
    pub listener: TcpListener,
}

/// Runs a service until SIGTERM or Ctrl-C. `start` returns when its parts are put together; they run on the lifecycle.
/// Exit codes: 0 after a stop, 1 when it could not start, 2 when it was told something it can't use.
pub async fn run<F: Future<Output = Result<(), StartError>>>(role: Role, start: impl FnOnce(Start) -> F) -> ExitCode {
    let settings = Settings::from_environment().and_then(|settings| settings.check_for(role).map(|()| settings));
    let settings = match settings {
        Ok(settings) => settings,
        Err(errors) => {
            complain(role, &format!("these settings can't be used:\n{errors}"));
            return ExitCode::from(2);
        }
    };
    match live(role, settings, start).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            complain(role, &sentence);
            ExitCode::FAILURE
        }
    }
}

async fn live<F: Future<Output = Result<(), StartError>>>(
    role: Role,
    settings: Settings,
    start: impl FnOnce(Start) -> F,
) -> Result<(), String> {
    let stopped = stop_signal::listen().map_err(|error| StartError::Signals(error).to_string())?;
    telemetry::start(settings.environment, &settings.log_levels)?;
    let (listener, address) = listen(&settings).await.map_err(|error| error.to_string())?;
    let lifecycle = Lifecycle::new();
    start(Start { settings, lifecycle: lifecycle.clone(), listener }).await.map_err(|error| error.to_string())?;
    info!(service = role.name(), http.address = %address, "ready");
    stopped.await;
    info!("stopping: taking nothing new, finishing what runs");
    if !stop::stop(&lifecycle).await {
        warn!("stopped before everything had ended; another instance takes up what was left");
    }
    Ok(())
}

fn complain(role: Role, sentence: &str) {
    // There is nobody left to tell that standard error is closed.
    let _ = writeln!(std::io::stderr(), "{}: {sentence}", role.name());
}
