//! `POST /v1/sessions`: a new conversation.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, State},
    response::{IntoResponse as _, Response},
};
use http::{HeaderValue, StatusCode, header};
use parlance_shared::{SessionId, id_mint::IdMint, session::Session};
use tracing::Span;

use crate::{
    call::Call,
    extract::{JsonBody, Query},
    openapi::problems,
    problem::{Code, Problem},
    session_fields::{SessionFields, change_session},
    state::ApiState,
};

#[utoipa::path(
    post,
    path = "/v1/sessions",
    operation_id = "createSession",
    tag = "sessions",
    summary = "Make a session",
    request_body = SessionFields,
    responses((
        status = 201,
        description = "The session.",
        body = Session,
        headers(("Location" = String, description = "The session's path.")),
    )),
    extensions(("x-problems" = json!(problems(&[Code::Unavailable, Code::StorageFull])))),
)]
pub(crate) async fn create_session(
    State(state): State<Arc<ApiState>>,
    call: Call,
    RawQuery(query): RawQuery,
    JsonBody(fields): JsonBody<SessionFields>,
) -> Result<Response, Problem> {
    Query::none(query.as_deref())?;
    fields.validate()?;
    let id: SessionId = state.mint.mint(&call.caller.user);
    Span::current().record("session_id", tracing::field::display(id));
    // The id tells when it was made, and that is what every reader goes by.
    let created_at = IdMint::made_at(id).unwrap_or_else(|| state.clock.now());
    let change = change_session(&state, &call, id, created_at, fields).await?;
    let session = Session {
        id,
        heading: change.heading.flatten(),
        instructions: change.instructions.flatten(),
        metadata: change.metadata.flatten(),
        strategy: change.strategy.flatten(),
        created_at: Some(created_at),
        updated_at: Some(created_at),
    };
    let mut response = (StatusCode::CREATED, Json(session)).into_response();
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/sessions/{id}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}
