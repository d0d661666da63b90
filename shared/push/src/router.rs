//! All paths.

use std::{sync::Arc, time::Duration};

use axum::{
    Router, middleware,
    routing::{get, post},
};
use parlance_shared::Lifecycle;

use crate::{
    endpoint::PushEndpoint,
    get_health::get_health,
    get_metrics::get_metrics,
    get_ready::get_ready,
    problem::{Code, Problem},
    rare_log::RareLog,
    receive_push::receive_push,
    report::report,
    worker_http::WorkerHttp,
};

/// What the handlers share.
pub(crate) struct HttpState {
    pub(crate) parts: WorkerHttp,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) refusals: RareLog,
}

/// All paths, ready to serve. Pushes also arrive at the root, as subscriptions and triggers are often made with a service's
/// bare address.
pub(crate) fn router(mut parts: WorkerHttp, lifecycle: Lifecycle) -> Router {
    let push = parts.push.take().map(|push| Arc::new(PushEndpoint::new(push, &parts, lifecycle.clone())));
    let state = Arc::new(HttpState { parts, lifecycle, refusals: RareLog::new(Duration::from_secs(1)) });
    let mut router = Router::new()
        .route("/health", get(get_health))
        .route("/health/ready", get(get_ready))
        .route("/metrics", get(get_metrics))
        .with_state(Arc::clone(&state));
    if let Some(push) = push {
        router = router
            .merge(Router::new().route("/push", post(receive_push)).route("/", post(receive_push)).with_state(push));
    }
    router
        .fallback(async || Problem::new(Code::RouteNotFound, "There is nothing at this path."))
        .method_not_allowed_fallback(async || {
            Problem::new(Code::MethodNotAllowed, "The path does not take this method; `Allow` lists those it takes.")
        })
        .layer(middleware::from_fn_with_state(state, report))
}
