//! The store: the durable record that persist-worker writes and clients read. Every write is an idempotent upsert keyed
//! by ids that the event carries, right in any order and any number of times; every read is scoped by user.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::PortError;
use crate::{
    MessageId, SessionId, TaskId, UserId,
    event::{HeadingMade, MessageSubmitted, ReplyCompleted, SessionChanged, SessionDeleted, Strategy, SummaryMade},
    message::Message,
    page::{Page, PageRequest},
    session::Session,
    summary::StoredSummary,
    task::{Status, Task},
    usage::{UsageQuery, UsageReport},
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

/// What decides whether a message is accepted into a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// The session was deleted.
    pub deleted: bool,
    /// What its messages do while a reply runs, unless they say so themselves.
    pub strategy: Option<Strategy>,
    /// Turns that wait or run.
    pub waiting: Vec<TaskId>,
    /// A message that is accepted now is accepted after this, whatever the clock says: it follows all that waits, and
    /// what was interrupted before it.
    pub latest: Option<DateTime<Utc>>,
    /// When this was so, by the clock that turns end by: what is not named as waiting had ended before, or was not known.
    pub looked_at: Option<DateTime<Utc>>,
}

/// Which turn of a session is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnOf {
    /// That of this task.
    Task(TaskId),
    /// That of this user's message; the latest, if it was asked several times.
    Message(MessageId),
}

/// A turn of a conversation, as the durable record has it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredTurn {
    /// What was asked.
    pub message: MessageSubmitted,
    /// The task whose turn stands in for this one.
    pub superseded_by: Option<TaskId>,
    /// No later message of the session is known.
    pub is_last: bool,
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

    /// A version of a session's summary. Each is stored once; nothing is kept of a deleted session.
    async fn record_summary_made(&self, event: &SummaryMade) -> Result<(), PortError>;
    /// A heading that was found for a session. The first one stays, and goes before nothing that its owner ever set, a
    /// cleared heading included, whatever the order of events.
    async fn record_heading_made(&self, event: &HeadingMade) -> Result<(), PortError>;

    /// One session.
    async fn session(&self, user: &UserId, session: SessionId) -> Result<Lookup<Session>, PortError>;
    /// The user's sessions, newest first.
    async fn sessions(&self, user: &UserId, page: &PageRequest) -> Result<Page<Session>, PortError>;
    /// The messages of the session's current branch, oldest first: without those that later turns stand in for. Empty when
    /// the session is unknown or deleted.
    async fn messages(&self, user: &UserId, session: SessionId, page: &PageRequest)
    -> Result<Page<Message>, PortError>;
    /// The messages of all its branches, oldest first; each says what stands in for it.
    async fn messages_of_all_branches(
        &self,
        user: &UserId,
        session: SessionId,
        page: &PageRequest,
    ) -> Result<Page<Message>, PortError>;
    /// What decides whether the session takes another message, in one look. `recent` are turns that the caller knows were
    /// just accepted: those count that neither the record nor a worker has ended. Of what waits at most `limit` are named.
    async fn admission(
        &self,
        user: &UserId,
        session: SessionId,
        recent: &[TaskId],
        limit: u32,
    ) -> Result<Admission, PortError>;
    /// Tasks of the user's that have not ended, at most `limit`: those in the record, and of `recent`, which it may not have
    /// yet, those that are not known to have ended.
    async fn open_tasks(&self, user: &UserId, recent: &[TaskId], limit: u32) -> Result<Vec<TaskId>, PortError>;
    /// One turn of the session, to be asked anew or edited. `Deleted` and `Unknown` are of the session and of the turn.
    async fn turn(&self, user: &UserId, session: SessionId, turn: TurnOf) -> Result<Lookup<StoredTurn>, PortError>;
    /// A version of the session's summary, the latest without one; `Unknown` when there is none (yet).
    async fn summary(
        &self,
        user: &UserId,
        session: SessionId,
        version: Option<u32>,
    ) -> Result<Lookup<StoredSummary>, PortError>;
    /// One task.
    async fn task(&self, user: &UserId, task: TaskId) -> Result<Lookup<StoredTask>, PortError>;
    /// Stores that a reply is no longer to be fetched as a response. The first time counts; the conversation keeps the reply.
    /// The caller has made sure that the id was made for this user.
    async fn hide_response(&self, user: &UserId, task: TaskId, at: DateTime<Utc>) -> Result<(), PortError>;
    /// Whether the user has hidden this reply.
    async fn response_is_hidden(&self, user: &UserId, task: TaskId) -> Result<bool, PortError>;
    /// What the user's tasks that ended in a time used, by group, with their summaries. Derived from the record, so right
    /// however often events were delivered.
    async fn usage(&self, user: &UserId, query: &UsageQuery) -> Result<UsageReport, PortError>;
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
