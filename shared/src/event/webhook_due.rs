//! Somebody is to be told how a task ended.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::DomainEvent;
use crate::{SessionId, UserId, content::Webhook, task::Task};

/// The end of a task is on record, and a webhook is to be told of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WebhookDue {
    /// The task's owner.
    pub user_id: UserId,
    /// The conversation.
    pub session_id: SessionId,
    /// Who is told.
    pub webhook: Webhook,
    /// The task as `GET /v1/tasks/{id}` shows it.
    pub task: Task,
}

impl WebhookDue {
    /// What the receiver knows repeats by: the same for the same end. No full stops, which stand between the parts of what is
    /// signed.
    pub fn webhook_id(&self) -> String {
        format!("{}_{}_{}", self.task.id, self.task.attempt, self.task.status.as_str())
    }
}

impl DomainEvent for WebhookDue {
    const TYPE: &'static str = "parlance.webhook.due.v1";
    fn id(&self) -> String {
        // Begins with the task's, by which the events of a deleted session are found.
        format!("{}.{}.{}.webhook", self.task.id, self.task.attempt, self.task.status.as_str())
    }
    fn subject(&self) -> String {
        self.task.id.to_string()
    }
    fn time(&self) -> DateTime<Utc> {
        self.task.timings.finished_at.unwrap_or_default()
    }
    fn ordering_key(&self) -> String {
        // Not the session's: a target that can't be reached would hold up those of its other tasks.
        self.task.id.to_string()
    }
}
