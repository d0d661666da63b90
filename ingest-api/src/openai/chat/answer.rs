//! What every answer about one reply says in its headers: where the reply can be had by other means.

use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use parlance_shared::{SessionId, TaskId};

const TASK_ID: HeaderName = HeaderName::from_static("x-task-id");
const SESSION_ID: HeaderName = HeaderName::from_static("x-session-id");

/// Adds the task's id, its session's, and a link to the stream that resumes.
pub(crate) fn with_links(mut response: Response, task: TaskId, session: Option<SessionId>) -> Response {
    let headers = response.headers_mut();
    put(headers, TASK_ID, &task.to_string());
    if let Some(session) = session {
        put(headers, SESSION_ID, &session.to_string());
    }
    put(headers, header::LINK, &format!("</v1/tasks/{task}/stream>; rel=\"alternate\"; type=\"text/event-stream\""));
    response
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
