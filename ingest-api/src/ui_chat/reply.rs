//! A reply as the client's own message: under which id, and behind which steps of it.

use axum::response::Response;
use http::{HeaderName, HeaderValue};
use parlance_shared::{Caller, MessageId, TaskId, event::MessageSubmitted, task::Task};

use super::{echo::Echo, history::UiPart, view::UiView};
use crate::{
    find_task::follow_problem, follow_reply::follow_reply, problem::Problem, reply_stream::ReplyStream, state::ApiState,
};

/// What the AI SDK tells the protocol by.
const VERSION: HeaderName = HeaderName::from_static("x-vercel-ai-ui-message-stream");
/// Nobody says where they have come to: every reader begins at the start.
const PLACE: &str = "chat_id";

/// The reply's id, known from its task alone.
pub(super) fn reply_id(state: &ApiState, caller: &Caller, task: TaskId) -> MessageId {
    state.mint.derive(&caller.user, &format!("ui reply {task}"))
}

/// A reply that is read.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) task: TaskId,
    /// The client's message that it is, or goes on with.
    pub(super) message: String,
    /// Steps of that message that came before.
    pub(super) before: Vec<UiPart>,
}

impl Reply {
    pub(super) fn of(submitted: &MessageSubmitted) -> Self {
        let message = match Echo::of(&submitted.input) {
            Some(Echo::Continues(message)) => message,
            _ => submitted.reply_message_id.to_string(),
        };
        Self { task: submitted.task_id, message, before: Vec::new() }
    }

    /// The whole of it, as it comes.
    pub(super) async fn follow(self, state: &ApiState, caller: &Caller) -> Result<Response, Problem> {
        let reader = follow_reply(state, caller, Task::queued(self.task), None, PLACE).await?;
        let view = UiView::new(self);
        let stream =
            ReplyStream::start(state, reader, Box::new(view), None).map_err(|error| follow_problem(error, PLACE))?;
        let mut response = stream.into_response();
        response.headers_mut().insert(VERSION, HeaderValue::from_static("v1"));
        Ok(response)
    }
}
