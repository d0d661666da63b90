//! `GET /openapi.json`: the API's description, as [`crate::openapi`] makes it from the code.

use axum::response::IntoResponse;
use http::{HeaderValue, header};

use crate::openapi::{self, problems};

#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "getOpenapi",
    tag = "service",
    summary = "This description",
    responses((status = 200, description = "OpenAPI 3.1.", body = Object, content_type = "application/json")),
    extensions(("x-problems" = json!(problems(&[])))),
)]
pub(crate) async fn get_openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], openapi::BYTES.clone())
}
