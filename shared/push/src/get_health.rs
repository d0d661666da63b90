//! `GET /health`: that the process lives and what it is; it answers whatever else is down.

use std::sync::Arc;

use axum::{Extension, Json, extract::State, response::IntoResponse};
use serde_json::json;

use crate::{problem::Note, router::HttpState};

pub(crate) async fn get_health(State(state): State<Arc<HttpState>>) -> impl IntoResponse + use<> {
    let stopping = state.lifecycle.stopping().is_cancelled();
    let health = json!({
        "service": state.parts.service,
        "version": state.parts.version,
        "timestamp": state.parts.clock.now(),
        "status": if stopping { "stopping" } else { "ok" },
        // A process with a setting that is wrong does not start.
        "config_valid": true,
        "active_tasks": state.parts.metrics.active_tasks.get(),
    });
    (Extension(Note::Quiet), Json(health))
}
