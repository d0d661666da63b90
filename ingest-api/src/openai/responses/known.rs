//! What is known of a response beside its reply: its request, as the turn kept it.

use chrono::{DateTime, Utc};
use parlance_shared::{SessionId, TaskId, content::TurnInput, event::MessageSubmitted, session::Metadata, task::Task};

use super::echo::Echo;
use crate::state::ApiState;

/// When neither the request nor the process says which model it is.
const SOME_MODEL: &str = "default";

/// A response's request.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) task: TaskId,
    pub(super) session: Option<SessionId>,
    pub(super) accepted_at: Option<DateTime<Utc>>,
    pub(super) model: String,
    pub(super) metadata: Option<Metadata>,
    /// Without what was said.
    pub(super) input: TurnInput,
    pub(super) echo: Echo,
}

impl Known {
    /// From the request itself, fresh or as it was recorded: the same on each reading.
    pub(super) fn of(state: &ApiState, message: MessageSubmitted) -> Self {
        Self {
            task: message.task_id,
            session: Some(message.session_id),
            accepted_at: Some(message.accepted_at),
            model: model(state, message.model),
            metadata: message.metadata,
            echo: Echo::of(&message.input),
            // Streams hold this for as long as they last.
            input: TurnInput {
                parts: Vec::new(),
                tool_results: Vec::new(),
                history: Vec::new(),
                echo: None,
                ..message.input
            },
        }
    }

    /// Nothing has the request yet but the bus.
    pub(super) fn by_id(state: &ApiState, task: &Task) -> Self {
        Self {
            task: task.id,
            session: task.session_id,
            accepted_at: task.timings.accepted_at,
            model: model(state, None),
            metadata: None,
            input: TurnInput::default(),
            echo: Echo::default(),
        }
    }
}

fn model(state: &ApiState, asked: Option<String>) -> String {
    let in_force = || state.about.provider.as_ref().map(|provider| provider.model.clone());
    asked.or_else(in_force).unwrap_or_else(|| SOME_MODEL.to_owned())
}
