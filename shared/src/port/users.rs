//! What operators do with all that is stored of a user, and with sessions that have grown old.
//!
//! Everything is done in bounded steps, each its own transaction: between any two the process may die, and whoever begins
//! again finishes what is left.
//!
//! What stays of an erased user: the ids of their sessions and tasks, under no name, so that an event which comes late or a
//! replay finds that there is nothing to add to; and, for [`KEEP_MARKS`], a hash of the name with the time, by which what was
//! sent before and had never been recorded is recognised. Who comes back under the same name begins anew.

use std::{fmt::Write as _, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::PortError;
use crate::{
    MessageId, SessionId, TaskId, UserId,
    event::Strategy,
    message::Role,
    session::Metadata,
    task::{Task, Usage},
};

/// How long it is remembered that a user was erased. Longer than any bus keeps a message: dead letters on Pub/Sub last 31 days.
pub const KEEP_MARKS: Duration = Duration::from_secs(32 * 24 * 3600);

/// By what an erased user is recognised: the SHA-256 of the name, in hexadecimal digits.
pub fn user_key(user: &UserId) -> String {
    Sha256::digest(user.as_str().as_bytes()).iter().fold(String::with_capacity(64), |mut key, byte| {
        // Writing to a string can't fail.
        let _ = write!(key, "{byte:02x}");
        key
    })
}

/// Counts, exports and erases users.
#[async_trait]
pub trait UserAdmin: Send + Sync + 'static {
    /// How much is stored of a user.
    async fn count(&self, user: &UserId) -> Result<UserCounts, PortError>;

    /// What is stored of a user, some of it: from the start, or behind a page that was seen before.
    async fn export(&self, user: &UserId, after: Option<&ExportPosition>) -> Result<ExportPage, PortError>;

    /// Erases some of what is stored of a user. To be repeated until nothing is left; harmless when nothing is.
    async fn erase(&self, user: &UserId) -> Result<EraseStep, PortError>;

    /// Makes sure that what was erased is in no file of the database any more, as far as that is ours to do. False when others
    /// were reading just now: to be tried again.
    async fn purge(&self) -> Result<bool, PortError>;
}

/// Forgets what has grown old.
#[async_trait]
pub trait Retention: Send + Sync + 'static {
    /// Deletes some sessions, as their owners would, in which nothing has happened since `before`; gives their number. `None`
    /// when another process is at it. To be repeated until it is 0.
    async fn delete_aged(&self, before: DateTime<Utc>) -> Result<Option<u64>, PortError>;

    /// Forgets who was erased before that time.
    async fn forget_erased(&self, before: DateTime<Utc>) -> Result<(), PortError>;

    /// Forgets what operators did before that time.
    async fn forget_audit(&self, before: DateTime<Utc>) -> Result<(), PortError>;
}

/// How much is stored of a user, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserCounts {
    /// Sessions, those that are deleted included.
    pub sessions: u64,
    /// Messages of both sides.
    pub messages: u64,
    /// Tasks.
    pub tasks: u64,
    /// Versions of summaries.
    pub summaries: u64,
    /// Turns that stand in for earlier ones.
    pub branches: u64,
    /// Turns, as the worker knows them.
    pub turns: u64,
    /// Checkpoints.
    pub checkpoints: u64,
    /// Keys that open the user's data. An erasure with a login that may not delete keys leaves them.
    #[serde(default)]
    pub keys: u64,
}

/// What one step of an erasure did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EraseStep {
    /// Sessions that were erased by it.
    pub sessions: u64,
    /// Messages that were erased by it.
    pub messages: u64,
    /// Turns that are being stopped by their workers; what they have said is erased once they have ended.
    pub running: u64,
    /// Nothing is left.
    pub done: bool,
}

/// A part of an export.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExportPage {
    /// Some of what is stored.
    pub lines: Vec<Exported>,
    /// Where it goes on; `None` at the end.
    pub next: Option<ExportPosition>,
}

/// A place in an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportPosition {
    /// The session; none before the first.
    pub session: String,
    /// Which kind of thing of it.
    pub part: ExportPart,
    /// The last one seen; empty before the first.
    pub key: String,
}

/// What is exported of each session, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportPart {
    /// The session and its checkpoint.
    Session,
    /// Its messages, in the order of the conversation.
    Messages,
    /// Its tasks.
    Tasks,
    /// Its summaries and branches.
    Rest,
    /// Its turns, as the worker knows them.
    Turns,
    /// It is through.
    End,
}

impl ExportPart {
    /// The one after it.
    pub fn next(self) -> Self {
        match self {
            Self::Session => Self::Messages,
            Self::Messages => Self::Tasks,
            Self::Tasks => Self::Rest,
            Self::Rest => Self::Turns,
            Self::Turns | Self::End => Self::End,
        }
    }
}

/// Something that is stored of a user: a line of the export.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Exported {
    /// The user.
    User {
        /// Their name.
        id: UserId,
        /// When they were first heard of.
        first_seen_at: DateTime<Utc>,
    },
    /// A session; of a deleted one little is left.
    Session {
        /// Its id.
        id: SessionId,
        /// What lists show.
        heading: Option<String>,
        /// What the model is told before the conversation.
        instructions: Option<String>,
        /// The client's own data.
        metadata: Option<Metadata>,
        /// What a message does while a reply runs.
        strategy: Option<Strategy>,
        /// When it was made.
        created_at: DateTime<Utc>,
        /// When something last happened in it.
        updated_at: DateTime<Utc>,
        /// When it was deleted.
        deleted_at: Option<DateTime<Utc>>,
    },
    /// What the next turn of a session would start from.
    Checkpoint {
        /// The session.
        session_id: SessionId,
        /// Counts how often it was saved.
        version: i64,
        /// What was saved.
        checkpoint: Value,
        /// When it was first or last saved.
        saved_at: DateTime<Utc>,
    },
    /// What one side said.
    Message {
        /// Its id.
        id: MessageId,
        /// The conversation.
        session_id: SessionId,
        /// The turn.
        task_id: TaskId,
        /// Who spoke.
        role: Role,
        /// The text.
        content: String,
        /// The client's own data.
        metadata: Option<Metadata>,
        /// Parts, results of tools and what else came with it.
        input: Option<Value>,
        /// When it was accepted or ended.
        created_at: DateTime<Utc>,
    },
    /// A task as the durable record has it; its reply is a message.
    Task {
        /// The model that was asked for.
        requested_model: Option<String>,
        /// Hash of the request under its idempotency key.
        fingerprint: Option<String>,
        /// When its reply was deleted as a response.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hidden_at: Option<DateTime<Utc>>,
        /// The task with its usage, its tool calls and its cost.
        #[serde(flatten)]
        task: Box<Task>,
    },
    /// What was said up to a turn, in short.
    Summary {
        /// The conversation.
        session_id: SessionId,
        /// From 1.
        version: i64,
        /// It.
        text: String,
        /// The latest turn that it covers.
        through: String,
        /// How many it covers.
        turns: i64,
        /// The model that wrote it.
        model: Option<String>,
        /// What it took.
        usage: Usage,
        /// When.
        made_at: DateTime<Utc>,
    },
    /// A turn that stands in for an earlier one.
    Branch {
        /// The turn.
        task_id: TaskId,
        /// The conversation.
        session_id: SessionId,
        /// The earlier one.
        replaces: TaskId,
        /// From when on the earlier branch is left.
        from_at: DateTime<Utc>,
        /// Up to when.
        at: DateTime<Utc>,
    },
    /// A task as its worker knows it, with the text that it keeps for cursors.
    Turn {
        /// Hash of the request under its idempotency key.
        fingerprint: Option<String>,
        /// The task.
        #[serde(flatten)]
        task: Box<Task>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_names_alone() {
        let key = user_key(&UserId::new("abc"));
        assert_eq!(key, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_ne!(key, user_key(&UserId::new("abd")));
    }
}
