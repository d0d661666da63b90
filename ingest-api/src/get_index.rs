//! `GET /`: where to go from here.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{openapi::problems, state::ApiState};

const LINKS: [(&str, &str); 7] = [
    ("docs", "/docs"),
    ("openapi", "/openapi.json"),
    ("health", "/health"),
    ("ready", "/health/ready"),
    ("metrics", "/metrics"),
    ("messages", "/v1/messages"),
    ("sessions", "/v1/sessions"),
];

/// Where to go from here.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Index {
    /// Which program answers.
    service: &'static str,
    /// Its version.
    version: &'static str,
    /// Paths by what is there.
    #[schema(value_type = BTreeMap<String, String>)]
    links: BTreeMap<&'static str, &'static str>,
}

#[utoipa::path(
    get,
    path = "/",
    operation_id = "getIndex",
    tag = "service",
    summary = "Where to go from here",
    responses((status = 200, description = "Links.", body = Index)),
    extensions(("x-problems" = json!(problems(&[])))),
)]
pub(crate) async fn get_index(State(state): State<Arc<ApiState>>) -> Json<Index> {
    let (service, version) = (state.about.service, state.about.version);
    Json(Index { service, version, links: LINKS.into() })
}
