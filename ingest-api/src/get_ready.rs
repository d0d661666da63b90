//! `GET /health/ready`: whether calls may be sent here now.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use parlance_shared::Caller;
use serde::Serialize;
use tracing::debug;
use utoipa::ToSchema;

use crate::{
    bounded::bounded,
    call::Quiet,
    openapi::problems,
    problem::{Code, Problem},
    state::ApiState,
};

/// A store that takes longer is not ready.
const PATIENCE: Duration = Duration::from_secs(1);

/// Calls may be sent here.
#[derive(Debug, Serialize, ToSchema)]
struct Ready {
    /// `ready`.
    status: &'static str,
    /// Parts that are away without keeping messages from being accepted: `store`. Told to callers who are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    degraded: Option<&'static [&'static str]>,
}

#[utoipa::path(
    get,
    path = "/health/ready",
    operation_id = "getReady",
    tag = "service",
    summary = "Whether calls may be sent here now",
    responses((status = 200, description = "They may.", body = Ready)),
    extensions(("x-problems" = json!(problems(&[Code::NotReady])))),
)]
pub(crate) async fn get_ready(
    State(state): State<Arc<ApiState>>,
    caller: Option<Extension<Caller>>,
) -> Result<Response, Problem> {
    if state.lifecycle.stopping().is_cancelled() {
        return Err(Problem::new(Code::NotReady, "The process is stopping.").retry_after(1));
    }
    let degraded: &'static [&'static str] = match bounded(PATIENCE, "store", state.store.ready()).await {
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
    let degraded = caller.map(|_| degraded);
    Ok((Extension(Quiet), Json(Ready { status: "ready", degraded })).into_response())
}
