//! `GET /health`: that the process lives and what it is; it answers whatever else is down.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State, response::IntoResponse};
use chrono::{DateTime, Utc};
use parlance_shared::port::llm::ProviderInfo;
use serde::Serialize;

use crate::{bounded::bounded, call::Quiet, state::ApiState};

/// A probe gives up after a second or so.
const PATIENCE: Duration = Duration::from_millis(200);

#[derive(Debug, Serialize)]
struct Health {
    service: &'static str,
    version: &'static str,
    timestamp: DateTime<Utc>,
    status: &'static str,
    config_valid: bool,
    active_tasks: u64,
    provider: Option<ProviderInfo>,
}

pub(crate) async fn get_health(State(state): State<Arc<ApiState>>) -> impl IntoResponse + use<> {
    let active_tasks = match bounded(PATIENCE, "turns", state.turns.active()).await {
        Ok(active) => active,
        Err(_) => u64::try_from(state.metrics.active_tasks.get()).unwrap_or_default(),
    };
    let health = Health {
        service: state.about.service,
        version: state.about.version,
        timestamp: state.clock.now(),
        status: if state.lifecycle.stopping().is_cancelled() { "stopping" } else { "ok" },
        // A process with a setting that is wrong does not start.
        config_valid: true,
        active_tasks,
        provider: state.about.provider.clone(),
    };
    (axum::Extension(Quiet), Json(health))
}
