//! Events to record.

use chrono::{DateTime, Utc};
use parlance_shared::{
    MessageId, SessionId, TaskId, UserId,
    event::{MessageSubmitted, ReplyCompleted, SessionDeleted, Strategy},
    id::PrefixedId as _,
    task::{Status, Task, Timings},
};
use uuid::Uuid;

pub fn at(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_790_000_000_000 + millis).unwrap()
}

/// The first message of a session.
pub fn request(user: &UserId, millis: i64) -> MessageSubmitted {
    MessageSubmitted {
        task_id: TaskId::from_uuid(Uuid::now_v7()),
        session_id: SessionId::from_uuid(Uuid::now_v7()),
        message_id: MessageId::from_uuid(Uuid::now_v7()),
        reply_message_id: MessageId::from_uuid(Uuid::now_v7()),
        user_id: user.clone(),
        content: format!("question at {millis}"),
        model: None,
        strategy: Strategy::Enqueue,
        metadata: None,
        accepted_at: at(millis),
        fingerprint: None,
        input: Default::default(),
        looked_at: None,
    }
}

/// Its end.
pub fn reply(request: &MessageSubmitted, status: Status, attempt: u32, content: &str) -> ReplyCompleted {
    let mut task = Task::queued(request.task_id);
    task.session_id = Some(request.session_id);
    task.message_id = Some(request.message_id);
    task.status = status;
    task.attempt = attempt;
    task.reply.message_id = Some(request.reply_message_id);
    task.reply.content = content.to_owned();
    let ended = Some(request.accepted_at + chrono::TimeDelta::milliseconds(i64::from(attempt)));
    task.timings = Timings::from_instants(Some(request.accepted_at), ended, ended, ended);
    ReplyCompleted { user_id: request.user_id.clone(), session_id: request.session_id, task, webhook: None }
}

pub fn deleted(request: &MessageSubmitted) -> SessionDeleted {
    let (session_id, user_id) = (request.session_id, request.user_id.clone());
    SessionDeleted { session_id, user_id, deleted_at: request.accepted_at }
}
