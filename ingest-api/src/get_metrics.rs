//! `GET /metrics`: what the process counts, for Prometheus.

use std::sync::Arc;

use axum::{extract::State, response::IntoResponse};
use http::{HeaderValue, header};

use crate::{call::Quiet, openapi::problems, state::ApiState};

const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "getMetrics",
    tag = "service",
    summary = "Counters and histograms for Prometheus",
    responses((status = 200, description = "OpenMetrics 1.0.", body = String, content_type = "application/openmetrics-text")),
    extensions(("x-problems" = json!(problems(&[])))),
)]
pub(crate) async fn get_metrics(State(state): State<Arc<ApiState>>) -> impl IntoResponse + use<> {
    (axum::Extension(Quiet), [(header::CONTENT_TYPE, OPEN_METRICS)], state.metrics.render())
}
