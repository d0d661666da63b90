//! `GET /metrics`: what the process counts, for Prometheus.

use std::sync::Arc;

use axum::{extract::State, response::IntoResponse};
use http::{HeaderValue, header};

use crate::{call::Quiet, state::ApiState};

const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

pub(crate) async fn get_metrics(State(state): State<Arc<ApiState>>) -> impl IntoResponse + use<> {
    (axum::Extension(Quiet), [(header::CONTENT_TYPE, OPEN_METRICS)], state.metrics.render())
}
