//! The store: the durable record that persist-worker writes and clients read. Every write is an idempotent upsert keyed
//! by ids that the event carries, right in any order and any number of times; every read is scoped by user.

use async_trait::async_trait;

use super::PortError;
use crate::{
    SessionId, TaskId, UserId,
    event::{MessageSubmitted, ReplyCompleted, SessionChanged, SessionDeleted},
    message::Message,
    page::{Page, PageRequest},
    session::Session,
    task::Task,
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
