//! The whole API.

use std::sync::Arc;

use axum::{
    Router, middleware,
    routing::{get, post},
};

use crate::{
    answer_problem::{method_not_allowed, no_such_route},
    call::around,
    cancel_task::cancel_task,
    create_session::create_session,
    delete_session::delete_session,
    get_docs::get_docs,
    get_health::get_health,
    get_index::get_index,
    get_metrics::get_metrics,
    get_openapi::get_openapi,
    get_ready::get_ready,
    get_session::get_session,
    get_summary::get_summary,
    get_task::get_task,
    get_usage::get_usage,
    list_messages::list_messages,
    list_sessions::list_sessions,
    openai,
    patch_session::patch_session,
    post_message::{post_message, post_message_to_new_session},
    retry_task::retry_task,
    state::ApiState,
    stream_reply::stream_reply,
    ui_chat,
};

/// All paths, ready to serve.
pub fn router(state: Arc<ApiState>) -> Router {
    Router::new()
        .route("/", get(get_index))
        .route("/health", get(get_health))
        .route("/health/ready", get(get_ready))
        .route("/metrics", get(get_metrics))
        .route("/openapi.json", get(get_openapi))
        .route("/docs", get(get_docs))
        .route("/v1/messages", post(post_message_to_new_session))
        .route("/v1/sessions", get(list_sessions).post(create_session))
        .route("/v1/sessions/{session_id}", get(get_session).patch(patch_session).delete(delete_session))
        .route("/v1/sessions/{session_id}/messages", get(list_messages).post(post_message))
        .route("/v1/sessions/{session_id}/summary", get(get_summary))
        .route("/v1/tasks/{task_id}", get(get_task))
        .route("/v1/tasks/{task_id}/stream", get(stream_reply))
        .route("/v1/tasks/{task_id}/cancel", post(cancel_task))
        .route("/v1/usage", get(get_usage))
        .route("/v1/tasks/{task_id}/retry", post(retry_task))
        .merge(openai::routes())
        .merge(ui_chat::routes())
        .fallback(no_such_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(state.clone(), around))
        .with_state(state)
}
