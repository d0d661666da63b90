//! `GET /health/ready`: whether calls may be sent here now.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use serde_json::json;
use tracing::debug;

use crate::{
    bounded::bounded,
    call::Quiet,
    problem::{Code, Problem},
    state::ApiState,
};

/// A store that takes longer is not ready.
const PATIENCE: Duration = Duration::from_secs(1);

pub(crate) async fn get_ready(State(state): State<Arc<ApiState>>) -> Result<Response, Problem> {
    if state.lifecycle.stopping().is_cancelled() {
        return Err(Problem::new(Code::NotReady, "The process is stopping.").retry_after(1));
    }
    let degraded: &[&str] = match bounded(PATIENCE, "store", state.store.ready()).await {
        Ok(()) => &[],
        // Messages are accepted all the same: taken out of service, an instance could not even do that.
        Err(error) if !state.accepting_needs_store => {
            debug!(%error, "the store does not answer");
            &["store"]
        }
        Err(error) => {
            let problem = Problem::new(Code::NotReady, "The store does not answer.").retry_after(1);
            return Err(problem.caused_by(error.to_string()));
        }
    };
    Ok((axum::Extension(Quiet), Json(json!({"status": "ready", "degraded": degraded}))).into_response())
}
