//! A name in the path that is no id of ours.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;

use crate::{
    problem::{Code, Problem},
    state::ApiState,
};

/// Any text; what can't be decoded is the name of nothing.
pub(crate) struct PathText(pub(crate) String);

impl FromRequestParts<Arc<ApiState>> for PathText {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<ApiState>) -> Result<Self, Problem> {
        let nothing = |_| Problem::new(Code::RouteNotFound, "What the path names is not percent-encoded UTF-8.");
        Path::<String>::from_request_parts(parts, state).await.map(|Path(text)| Self(text)).map_err(nothing)
    }
}
