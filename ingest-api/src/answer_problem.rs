//! Answers for paths and methods that are not there.

use http::Method;

use crate::problem::{Code, Problem};

pub(crate) async fn no_such_route() -> Problem {
    Problem::new(Code::RouteNotFound, "Nothing is served at this path; GET /openapi.json lists what is.")
}

/// The router adds `Allow`.
pub(crate) async fn method_not_allowed(method: Method) -> Problem {
    Problem::new(Code::MethodNotAllowed, format!("This path does not take {method}; see the Allow header."))
}
