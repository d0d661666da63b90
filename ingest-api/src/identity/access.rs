//! Who may call what.

use axum::extract::MatchedPath;
use http::request::Parts;

/// What a route asks of its callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing.
    Open,
    /// Nothing; but whoever proves who they are is told more.
    More,
    /// To prove who they are.
    Known,
    /// The same; a key must be meant for it.
    Chat,
    /// To look after the service.
    Operator,
}

impl Access {
    /// Of the route that will answer. Paths that there are not are for those who are known: others learn nothing of them.
    pub(super) fn of(request: &Parts) -> Self {
        Self::of_route(request.extensions.get::<MatchedPath>().map(MatchedPath::as_str))
    }

    /// Of a route; none where nothing is.
    pub(crate) fn of_route(route: Option<&str>) -> Self {
        match route {
            Some("/health" | "/openapi.json" | "/docs") => Self::Open,
            Some("/health/ready") => Self::More,
            Some("/metrics") => Self::Operator,
            Some(path) if path.starts_with("/v1/") => Self::Chat,
            _ => Self::Known,
        }
    }
}
