//! The end of a task.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::DomainEvent;
use crate::{SessionId, UserId, content::Webhook, task::Task};

/// A task reached its end: completed, failed or cancelled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplyCompleted {
    /// Its owner.
    pub user_id: UserId,
    /// The conversation.
    pub session_id: SessionId,
    /// The task with the whole reply.
    pub task: Task,
    /// Who is told of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
}

impl DomainEvent for ReplyCompleted {
    const TYPE: &'static str = "parlance.reply.completed.v1";
    fn id(&self) -> String {
        // A failed task that an operator reopens ends again, under a later attempt.
        format!("{}.{}.{}", self.task.id, self.task.attempt, self.task.status.as_str())
    }
    fn subject(&self) -> String {
        self.task.id.to_string()
    }
    fn time(&self) -> DateTime<Utc> {
        self.task.timings.finished_at.unwrap_or_default()
    }
    fn ordering_key(&self) -> String {
        self.session_id.to_string()
    }
}
