//! `GET /`: where to go from here.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde_json::{Value, json};

use crate::state::ApiState;

pub(crate) async fn get_index(State(state): State<Arc<ApiState>>) -> Json<Value> {
    Json(json!({
        "service": state.about.service,
        "version": state.about.version,
        "links": {
            "openapi": "/openapi.json",
            "health": "/health",
            "ready": "/health/ready",
            "metrics": "/metrics",
            "messages": "/v1/messages",
            "sessions": "/v1/sessions",
        },
    }))
}
