//! `GET /health/ready`: whether the worker can work now, and if not, what is amiss.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use serde_json::json;
use tokio::time::timeout;

use crate::{
    problem::{Code, Note, Problem},
    router::HttpState,
};

pub(crate) async fn get_ready(State(state): State<Arc<HttpState>>) -> Result<Response, Problem> {
    if state.lifecycle.stopping().is_cancelled() {
        let problem = Problem::new(Code::NotReady, "The process is stopping.");
        return Err(problem.reasons(vec!["stopping"]).retry_after(1));
    }
    let limit = state.parts.limits.ready_timeout;
    let Ok(amiss) = timeout(limit, (state.parts.ready)()).await else {
        let problem = Problem::new(Code::NotReady, "A part that the worker needs does not answer in time.");
        let cause = format!("no answer within {limit:?}");
        return Err(problem.reasons(vec!["check_timeout"]).retry_after(1).caused_by(cause));
    };
    if amiss.is_empty() {
        return Ok((Extension(Note::Quiet), Json(json!({"status": "ready"}))).into_response());
    }
    let causes: Vec<_> = amiss.iter().map(|part| format!("{}: {}", part.code, part.cause)).collect();
    let problem = Problem::new(Code::NotReady, "A part that the worker needs does not answer.");
    let codes = amiss.iter().map(|part| part.code).collect();
    Err(problem.reasons(codes).retry_after(1).caused_by(causes.join("; ")))
}
