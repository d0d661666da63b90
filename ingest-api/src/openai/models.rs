//! `GET /v1/models` and `GET /v1/models/{id}`: what a request may name. Clients look here before they ask anything.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;

use crate::{
    call::Call,
    extract::PathText,
    problem::{Code, Problem},
    state::ApiState,
};

/// A list in OpenAI's shape.
#[derive(Debug, Serialize)]
pub(crate) struct ModelList {
    object: &'static str,
    data: Vec<Model>,
}

/// One model.
#[derive(Debug, Serialize)]
pub(crate) struct Model {
    id: String,
    object: &'static str,
    /// Nobody here knows: 0.
    created: u64,
    owned_by: &'static str,
}

impl Model {
    fn new(id: &str) -> Self {
        Self { id: id.to_owned(), object: "model", created: 0, owned_by: "parlance" }
    }
}

/// Those that the settings allow; without such a list the one that is asked when a request names none.
fn known(state: &ApiState) -> Vec<Model> {
    match (&state.allowed_models[..], &state.about.provider) {
        ([], Some(provider)) => vec![Model::new(&provider.model)],
        (allowed, _) => allowed.iter().map(|id| Model::new(id)).collect(),
    }
}

/// `GET /v1/models`
#[utoipa::path(
    get,
    path = "/v1/models",
    operation_id = "listModels",
    tag = "openai",
    summary = "The models that a request may name",
    responses(
        (status = 200, description = "The models.", body = ref("#/components/schemas/OpenAiModels"), content_type = "application/json"),
    ),
    extensions(("x-problems" = json!(crate::openapi::problems(&[])))),
)]
pub(crate) async fn list_models(State(state): State<Arc<ApiState>>, _: Call) -> Json<ModelList> {
    Json(ModelList { object: "list", data: known(&state) })
}

/// `GET /v1/models/{id}`; an id may hold slashes.
#[utoipa::path(
    get,
    path = "/v1/models/{id}",
    operation_id = "getModel",
    tag = "openai",
    summary = "One model",
    params(
        ("id" = String, Path, description = "Its name."),
    ),
    responses(
        (status = 200, description = "The model.", body = ref("#/components/schemas/OpenAiModel"), content_type = "application/json"),
    ),
    extensions(("x-problems" = json!(crate::openapi::problems(&[Code::ModelNotFound])))),
)]
pub(crate) async fn get_model(
    State(state): State<Arc<ApiState>>,
    _: Call,
    PathText(id): PathText,
) -> Result<Json<Model>, Problem> {
    let found = known(&state).into_iter().find(|model| model.id == id);
    found.map(Json).ok_or_else(|| Problem::new(Code::ModelNotFound, "No model that is known here has this name."))
}
