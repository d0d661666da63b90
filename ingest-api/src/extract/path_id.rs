//! An id in the path. One that is malformed gets the same answer as one that is another user's.

use std::{str::FromStr, sync::Arc};

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use parlance_shared::{SessionId, TaskId, id::PrefixedId};
use tracing::Span;

use crate::{problem::Problem, state::ApiState};

/// An id that has the form of its kind; whose it is remains to be seen.
pub(crate) struct PathId<I>(pub(crate) I);

/// What stands in a path.
pub(crate) trait InPath: PrefixedId + FromStr {
    /// The span's field for it.
    const SPAN_FIELD: &'static str;
    /// The answer when there is none with this id.
    fn not_found() -> Problem;
}

impl InPath for TaskId {
    const SPAN_FIELD: &'static str = "task_id";
    fn not_found() -> Problem {
        Problem::task_not_found()
    }
}

impl InPath for SessionId {
    const SPAN_FIELD: &'static str = "session_id";
    fn not_found() -> Problem {
        Problem::session_not_found()
    }
}

impl<I: InPath> FromRequestParts<Arc<ApiState>> for PathId<I> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<ApiState>) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| I::not_found())?;
        let id = text.parse::<I>().map_err(|_| I::not_found())?;
        Span::current().record(I::SPAN_FIELD, tracing::field::display(id));
        Ok(Self(id))
    }
}
