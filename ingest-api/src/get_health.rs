//! `GET /health`: that the process lives and what it is; it answers whatever else is down.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State, response::IntoResponse};
use chrono::{DateTime, Utc};
use parlance_shared::port::llm::ProviderInfo;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{bounded::bounded, call::Quiet, openapi::problems, state::ApiState};

/// A probe is to be answered within 50 ms, also under load.
const PATIENCE: Duration = Duration::from_millis(20);

#[derive(Debug, Serialize, ToSchema)]
struct Health {
    /// Which program answers.
    service: &'static str,
    version: &'static str,
    /// The process's time.
    timestamp: DateTime<Utc>,
    /// `ok`, or `stopping`.
    status: &'static str,
    config_valid: bool,
    /// Tasks that are being answered.
    active_tasks: u64,
    /// Who answers; null where no LLM runs in the process.
    provider: Option<ProviderInfo>,
}

#[utoipa::path(
    get,
    path = "/health",
    operation_id = "getHealth",
    tag = "service",
    summary = "That the process lives, and what it is",
    description = "Answers whatever else is down.",
    responses((status = 200, description = "It lives.", body = Health)),
    extensions(("x-problems" = json!(problems(&[])))),
)]
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
