//! `GET /docs`: the API's description as a page for people. It is whole in itself: no script, and nothing from elsewhere.

use axum::response::IntoResponse;
use http::{HeaderValue, header};

use crate::openapi::{DOCS, problems};

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
/// Nothing but its own style, which is in the page.
const POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'");

#[utoipa::path(
    get,
    path = "/docs",
    operation_id = "getDocs",
    tag = "service",
    summary = "This description, to be read",
    responses((status = 200, description = "A page.", body = String, content_type = "text/html")),
    extensions(("x-problems" = json!(problems(&[])))),
)]
pub(crate) async fn get_docs() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, HTML), (header::CONTENT_SECURITY_POLICY, POLICY)], DOCS.clone())
}
