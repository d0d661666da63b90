//! Ids of responses and of their items. A response is a task under another prefix, so its id proves its owner as well, and any
//! instance finds the task without a look-up. Items are named after their response: the same on each reading.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use parlance_shared::{TaskId, id::PrefixedId as _};
use tracing::Span;

use crate::{
    problem::{Code, Problem},
    state::ApiState,
};

const PREFIX: &str = "resp_";

/// The response that a task's reply is.
pub(super) fn response_id(task: TaskId) -> String {
    format!("{PREFIX}{}", task.uuid().as_simple())
}

/// The task that a response's id stands for.
pub(super) fn task_of(response: &str) -> Option<TaskId> {
    format!("{}_{}", TaskId::PREFIX, response.strip_prefix(PREFIX)?).parse().ok()
}

/// What one attempt says: each has an item of its own, as nothing that was sent can be taken back.
pub(super) fn message_item(task: TaskId, attempt: u32) -> String {
    format!("msg_{}_{attempt}", task.uuid().as_simple())
}

/// A call of a tool.
pub(super) fn call_item(task: TaskId, attempt: u32, n: usize) -> String {
    format!("fc_{}_{attempt}_{n}", task.uuid().as_simple())
}

/// An item of what was asked.
pub(super) fn input_item(kind: &str, task: TaskId, n: usize) -> String {
    format!("{kind}_{}_in_{n}", task.uuid().as_simple())
}

pub(super) fn not_found() -> Problem {
    Problem::new(Code::ResponseNotFound, "No response of yours has this id.")
}

/// A response's id in the path. One that is malformed gets the same answer as one that is another user's.
pub(crate) struct ResponseId(pub(super) TaskId);

impl FromRequestParts<Arc<ApiState>> for ResponseId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<ApiState>) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| not_found())?;
        let task = task_of(&text).ok_or_else(not_found)?;
        Span::current().record("task_id", tracing::field::display(task));
        Ok(Self(task))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_response_is_its_task() {
        let task = TaskId::from_uuid(Uuid::now_v7());
        assert_eq!(task_of(&response_id(task)), Some(task));
        let upper = response_id(task).to_uppercase();
        for strange in ["", "resp_", "resp", &task.to_string(), &upper, &format!("{}0", response_id(task))] {
            assert_eq!(task_of(strange), None, "{strange:?} was taken");
        }
    }
}
