//! `GET /metrics`: what the process counts, for Prometheus.

use std::sync::Arc;

use axum::{Extension, extract::State, response::IntoResponse};
use http::{HeaderValue, header};

use crate::{problem::Note, router::HttpState};

const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

pub(crate) async fn get_metrics(State(state): State<Arc<HttpState>>) -> impl IntoResponse + use<> {
    (Extension(Note::Quiet), [(header::CONTENT_TYPE, OPEN_METRICS)], state.parts.metrics.render())
}
