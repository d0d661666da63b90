//! A service's life, from its settings to its end.

use std::{future::Future, io::Write as _, process::ExitCode, sync::Arc};

use parlance_shared::{
    Lifecycle,
    metrics::Metrics,
    settings::{Role, Settings},
    telemetry,
};
use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::{Observability, StartError, health, listen::listen, stop, stop_signal};

/// What a service is started with.
pub struct Start {
    /// Checked for its role.
    pub settings: Settings,
    /// To spawn on, and to stop by.
    pub lifecycle: Lifecycle,
    /// Bound already: a port that is taken is known before anything is begun.
    pub listener: TcpListener,
    /// What the process counts.
    pub metrics: Arc<Metrics>,
}

/// Runs a service until SIGTERM or Ctrl-C. `start` returns when its parts are put together; they run on the lifecycle.
/// Exit codes: 0 after a stop, 1 when it could not start, 2 when it was told something it can't use. With the one argument
/// that there is, `health`, it asks an instance that runs here: 0 when that is ready, 1 when not.
pub async fn run<F: Future<Output = Result<(), StartError>>>(role: Role, start: impl FnOnce(Start) -> F) -> ExitCode {
    let asks = match std::env::args_os().nth(1) {
        None => false,
        Some(argument) if argument == "health" => true,
        Some(argument) => {
            complain(role, &format!("{argument:?} was given; accepted: nothing, or health"));
            return ExitCode::from(2);
        }
    };
    let settings = Settings::from_environment().and_then(|settings| settings.check_for(role).map(|()| settings));
    let settings = match settings {
        Ok(settings) => settings,
        Err(errors) => {
            complain(role, &format!("these settings can't be used:\n{errors}"));
            return ExitCode::from(2);
        }
    };
    if asks {
        return health::check(&settings).await;
    }
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
    telemetry::start(&settings)?;
    let (listener, address) = listen(&settings).await.map_err(|error| error.to_string())?;
    let (lifecycle, metrics) = (Lifecycle::new(), Arc::new(Metrics::new()));
    let observed = Observability::start(&settings, role.name(), &metrics).await.map_err(|error| error.to_string())?;
    let parts = Start { settings, lifecycle: lifecycle.clone(), listener, metrics };
    start(parts).await.map_err(|error| error.to_string())?;
    info!(service = role.name(), http.address = %address, "ready");
    stopped.await;
    info!("stopping: taking nothing new, finishing what runs");
    if !stop::stop(&lifecycle).await {
        warn!("stopped before everything had ended; another instance takes up what was left");
    }
    observed.close().await;
    Ok(())
}

fn complain(role: Role, sentence: &str) {
    // There is nobody left to tell that standard error is closed.
    let _ = writeln!(std::io::stderr(), "{}: {sentence}", role.name());
}
