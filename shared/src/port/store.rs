//! The store: the durable record that persist-worker writes and clients read. Every write is an idempotent upsert keyed
//! by ids that the event carries, right in any order and any number of times; every read is scoped by user.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::PortError;
use crate::{
    MessageId, SessionId, TaskId, UserId,
    event::{MessageSubmitted, ReplyCompleted, SessionChanged, SessionDeleted},
    message::Message,
    page::{Page, PageRequest},
    session::Session,
    task::{Status, Task},
};

/// What a look-up found.
#[derive(Clone, Debug, PartialEq)]
pub enum Lookup<T> {
    /// The row, whole.
    Found(T),
    /// It was there and its owner deleted it.
    Deleted,
    /// No row of this user has the id (yet).
    Unknown,
}

/// A task as the durable record has it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredTask {
    /// The task.
    pub task: Task,
    /// Hash of the request under its idempotency key.
    pub fingerprint: Option<String>,
}

/// Writes events into the durable record and reads it.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// User, session, message and task of an accepted message.
    async fn record_message_submitted(&self, event: &MessageSubmitted) -> Result<(), PortError>;
    /// A session's fields; each field keeps its latest change, whatever the order of events.
    async fn record_session_changed(&self, event: &SessionChanged) -> Result<(), PortError>;
    /// Erases what was said in the session and keeps a tombstone, so that a replay can't bring it back.
    async fn record_session_deleted(&self, event: &SessionDeleted) -> Result<(), PortError>;
    /// The reply, usage, timings and final state of a task.
    async fn record_reply_completed(&self, event: &ReplyCompleted) -> Result<(), PortError>;

    /// One session.
    async fn session(&self, user: &UserId, session: SessionId) -> Result<Lookup<Session>, PortError>;
    /// The user's sessions, newest first.
    async fn sessions(&self, user: &UserId, page: &PageRequest) -> Result<Page<Session>, PortError>;
    /// The session's messages, oldest first. Empty when the session is unknown or deleted.
    async fn messages(&self, user: &UserId, session: SessionId, page: &PageRequest)
    -> Result<Page<Message>, PortError>;
    /// One task.
    async fn task(&self, user: &UserId, task: TaskId) -> Result<Lookup<StoredTask>, PortError>;
    /// Answers when the store can be read and written.
    async fn ready(&self) -> Result<(), PortError>;
}

/// What operators read of the durable record, across users.
#[async_trait]
pub trait StoreAdmin: Send + Sync + 'static {
    /// Accepted requests that match, behind `after`: some of them, at most `limit`, and none once all were given. Those of a
    /// session come in the order in which they were accepted; sessions come in any order, the same each time. Deleted
    /// sessions have none, and so has a task of which the record knows no request (yet).
    async fn requests(
        &self,
        filter: &RequestFilter,
        after: Option<&RequestPosition>,
        limit: u32,
    ) -> Result<Vec<StoredRequest>, PortError>;
}

/// Which requests an operator wants; each condition narrows it down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestFilter {
    /// Accepted at this time or later.
    pub since: Option<DateTime<Utc>>,
    /// Accepted before this time.
    pub until: Option<DateTime<Utc>>,
    /// Of this session.
    pub session: Option<SessionId>,
    /// Of this task.
    pub task: Option<TaskId>,
}

/// A request as the durable record has it: all that its event said, and where its task stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredRequest {
    /// What was accepted.
    pub message: MessageSubmitted,
    /// `queued` until the end is recorded: a worker may have it, or have ended it.
    pub status: Status,
}

/// A place in the list of requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestPosition {
    /// The session.
    pub session_id: SessionId,
    /// Where in it, to the microsecond.
    pub accepted_at: DateTime<Utc>,
    /// Which of that microsecond.
    pub message_id: MessageId,
}

impl StoredRequest {
    /// Its place in the list.
    pub fn position(&self) -> RequestPosition {
        let MessageSubmitted { session_id, accepted_at, message_id, .. } = self.message;
        RequestPosition { session_id, accepted_at, message_id }
    }
}
