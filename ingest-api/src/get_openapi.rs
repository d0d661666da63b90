//! `GET /openapi.json`: the API's description. It is kept by hand and tested against the router and real answers.

use axum::response::IntoResponse;
use http::{HeaderValue, header};

const DESCRIPTION: &str = include_str!("../openapi.json");

pub(crate) async fn get_openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], DESCRIPTION)
}
