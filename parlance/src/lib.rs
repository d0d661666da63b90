//! The binary for people: [`run`] is the whole product in one process; the other modules are the
//! tools of its operators.

mod adapters;
mod all_in_one;
pub mod audit;
pub mod cli;
pub mod cost;
pub mod dead_letters;
pub mod keys;
pub mod migrate;
pub mod operator;
pub mod pubsub_setup;
pub mod replay;
pub mod users;
mod watch_bus;
pub mod webhooks;

use std::io::Write as _;

use parlance_shared::settings::{Environment, Settings};
use tracing::{info, warn};

pub use all_in_one::{Running, StartError, start, start_on};

/// Runs until SIGTERM or Ctrl-C, then stops within 10 s: takes nothing new, lets replies finish or hands them back.
///
/// # Errors
/// When the process can't start, or can't stop cleanly.
pub async fn run(settings: Settings) -> Result<(), StartError> {
    let stop = parlance_service::stop_signal::listen().map_err(StartError::Signals)?;
    let environment = settings.environment;
    let running = start(settings).await?;
    announce(environment, &running);
    stop.await;
    info!("stopping: taking nothing new, finishing what runs");
    if !running.stop().await {
        warn!("stopped before everything had ended; what was left is taken up at the next start");
    }
    Ok(())
}

fn announce(environment: Environment, running: &Running) {
    let (address, llm) = (running.address, &running.provider);
    info!(http.address = %address, llm.provider = llm.provider, llm.model = llm.model, "ready");
    if environment == Environment::Production {
        return;
    }
    let at = llm.base_url.as_ref().map(|url| format!(" at {url}")).unwrap_or_default();
    let answers = match llm.provider.as_str() {
        "offline" => "offline provider: no model is configured, set LLM_BASE_URL and LLM_MODEL".to_owned(),
        _ => format!("{}{at}", llm.model),
    };
    // A closed standard output is no reason not to serve.
    let _ = writeln!(std::io::stdout(), "parlance listening on http://{address} (LLM: {answers})");
}
