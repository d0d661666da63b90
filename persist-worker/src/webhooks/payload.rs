//! What is sent.

use chrono::{DateTime, Utc};
use parlance_shared::{
    event::WebhookDue,
    task::{Status, Task},
};
use serde::Serialize;

/// The body of a delivery.
#[derive(Serialize)]
struct Payload<'a> {
    r#type: &'static str,
    /// When the task ended.
    timestamp: DateTime<Utc>,
    data: &'a Task,
}

/// The body: the same bytes each time the end is told.
pub(super) fn payload(due: &WebhookDue) -> Result<Vec<u8>, serde_json::Error> {
    let r#type = match due.task.status {
        Status::Completed => "task.completed",
        Status::Cancelled => "task.cancelled",
        Status::Failed | Status::Queued | Status::Running => "task.failed",
    };
    let timestamp = due.task.timings.finished_at.unwrap_or_default();
    serde_json::to_vec(&Payload { r#type, timestamp, data: &due.task })
}
