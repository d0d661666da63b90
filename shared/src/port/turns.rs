//! Turns: who works on a task, since when and until when, how it ended, and the checkpoint that the next turn starts from.
//!
//! What every adapter keeps:
//! - at most one claim of a task is valid at a time; each has an attempt number above all earlier ones;
//! - [`Turns::finish`] closes the log, stores the end and saves the checkpoint in one transaction, and only for a valid
//!   claim; a task that has ended is never claimed again, but for a failed one (that was not refused as `session_busy`) which
//!   an operator reopens: its counters of lost and failed attempts start anew, readers see a reset with the reason `replayed`;
//! - a turn does not start while an earlier one of its session (by the time it was accepted, then by its message's id) has
//!   begun and has not ended, until [`EARLIER_TURN`] after the latest lease of that one;
//! - an intent to cancel is stored before it is answered and outlives crashes and redelivery.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::PortError;
use crate::{
    MessageId, SessionId, TaskId, UserId,
    budget::Spent,
    content::{ToolCall, TurnInput},
    task::{Status, Task, TaskDetails, TaskError, Usage},
};

/// How long after its lease ran out, or was handed back, an unfinished turn keeps later ones of its session waiting. The bus
/// hands its message out again long before; a message that is gone must not stop the session for good.
pub const EARLIER_TURN: Duration = Duration::from_secs(60);

/// One worker process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerId(pub String);

/// What a worker knows of a task when it asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnRequest {
    /// The task.
    pub task_id: TaskId,
    /// Its session.
    pub session_id: SessionId,
    /// Its owner.
    pub user_id: UserId,
    /// The user's message.
    pub message_id: MessageId,
    /// The id that the reply will have.
    pub reply_message_id: MessageId,
    /// When it was accepted.
    pub accepted_at: DateTime<Utc>,
    /// Hash of the request under its idempotency key.
    pub fingerprint: Option<String>,
    /// An operator's replay that wants a failed task answered anew. Each replay reopens a task once: once that attempt
    /// has ended too, the same id finds it [`ClaimOutcome::Ended`]. Completed and cancelled tasks stay ended.
    pub reopen: Option<Uuid>,
}

/// The right to work on a task for a while.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The task.
    pub task_id: TaskId,
    /// Its session.
    pub session_id: SessionId,
    /// Its owner.
    pub user_id: UserId,
    /// This attempt's number, from 1.
    pub attempt: u32,
    /// Who holds it.
    pub worker: WorkerId,
    /// How many attempts ended with their worker lost (handed-back ones not counted).
    pub lost_attempts: u32,
    /// How many attempts ended with a provider's error.
    pub failed_attempts: u32,
    /// The owner wants it stopped, or its session is deleted: end it as cancelled without any work.
    pub cancel_requested: bool,
    /// What an earlier attempt had said, as far as it was stored.
    pub earlier_text: String,
    /// Fires when the owner asks to stop.
    pub cancelled: CancellationToken,
    /// Fires when the claim is known to be lost.
    pub lost: CancellationToken,
}

/// What asking for a task gave.
#[derive(Clone, Debug)]
pub enum ClaimOutcome {
    /// Ours, under a new attempt number; readers are told.
    Claimed(Claim),
    /// It has ended: repeat the announcement, do no work.
    Ended(Box<Task>),
    /// Another worker's lease is good until then.
    HeldUntil(DateTime<Utc>),
    /// An earlier turn of the session is under way, or will be again: the bus was ahead of it.
    NotYet,
}

/// Why a claim could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The lease was lost: another attempt may be under way. Stop, and say nothing.
    #[error("the claim is no longer valid")]
    Fenced,
    /// The checkpoint was changed meanwhile: load it and try again.
    #[error("the checkpoint has moved on")]
    StaleCheckpoint,
    /// The store failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// How an attempt ended the task.
#[derive(Clone, Debug, PartialEq)]
pub struct TurnEnd {
    /// `completed`, `failed` or `cancelled`.
    pub status: Status,
    /// The reply, whole or as far as it came.
    pub content: String,
    /// Who answered.
    pub provider: Option<String>,
    /// With which model.
    pub model: Option<String>,
    /// Tokens.
    pub usage: Usage,
    /// When the first token came.
    pub first_token_at: Option<DateTime<Utc>>,
    /// Why it failed.
    pub error: Option<TaskError>,
    /// The rest.
    pub details: TaskDetails,
}

/// What the next turn of a session starts from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Checkpoint {
    /// What the model is told before the conversation.
    pub instructions: Option<String>,
    /// When `instructions` were last changed; an older change is ignored.
    pub instructions_at: Option<DateTime<Utc>>,
    /// What was said before the window, in short.
    pub summary: Option<Summary>,
    /// The latest summaries before it, oldest first: a turn that stands in for one that `summary` covers goes back to them.
    pub earlier_summaries: Vec<Summary>,
    /// The highest version that a summary of the session ever had.
    pub summaries_made: u32,
    /// The latest turns, oldest first.
    pub window: Vec<CheckpointTurn>,
    /// A heading was asked for: that happens once.
    pub headed: bool,
}

/// What was said in the turns before a checkpoint's window, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// From 1; each version stands in for the one before.
    pub version: u32,
    /// It.
    pub text: String,
    /// The latest turn that it covers.
    pub through: TaskId,
    /// How many turns it covers.
    pub turns: u32,
    /// How long it is, in tokens, as counted or estimated.
    pub tokens: u32,
    /// When it was made.
    pub made_at: DateTime<Utc>,
    /// When the latest turn that it covers was accepted.
    #[serde(default)]
    pub through_at: Option<DateTime<Utc>>,
    /// The model that wrote it.
    #[serde(default)]
    pub model: Option<String>,
    /// The tokens of making it.
    #[serde(default)]
    pub usage: Usage,
}

/// One turn of a checkpoint's window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointTurn {
    /// The task.
    pub task_id: TaskId,
    /// What the user said.
    pub user: String,
    /// What the model said, perhaps cut short.
    pub assistant: String,
    /// What the user's message held beyond its text: images and results of tools.
    #[serde(default, skip_serializing_if = "TurnInput::is_plain")]
    pub input: TurnInput,
    /// The tools that the model called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// How long both sides are, in tokens, as counted or estimated; 0 when that was never done.
    #[serde(default)]
    pub tokens: u32,
    /// When it was accepted.
    #[serde(default)]
    pub accepted_at: Option<DateTime<Utc>>,
}

/// A checkpoint with the version it was read at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VersionedCheckpoint {
    /// 0 when none was ever saved.
    pub version: i64,
    /// What was saved.
    pub checkpoint: Checkpoint,
}

/// What asking to cancel did.
#[derive(Clone, Debug, PartialEq)]
pub enum CancelOutcome {
    /// The task had ended before, or was still waiting and has now ended as cancelled.
    Ended(Box<Task>),
    /// A worker has it, or will when the bus hands it out again: the intent is stored and the worker is told.
    Requested,
    /// It is another user's.
    UnknownTask,
}

/// Claims, ends and checkpoints.
#[async_trait]
pub trait Turns: Send + Sync + 'static {
    /// Asks for a task. Opens the new attempt's log when it is granted.
    async fn claim(&self, request: &TurnRequest, worker: &WorkerId, lease: Duration)
    -> Result<ClaimOutcome, PortError>;

    /// Gives up this attempt because of `reason` (a code) and starts the next one under the same hold.
    async fn next_attempt(&self, claim: &Claim, reason: &str) -> Result<Claim, ClaimError>;

    /// Holds the claims for `lease` from now; those that are lost have their `lost` token fired.
    async fn heartbeat(&self, claims: &[Claim], lease: Duration) -> Result<(), PortError>;

    /// Ends the task. With a checkpoint: saved if the stored version is still the given one, else nothing is.
    async fn finish(
        &self,
        claim: &Claim,
        end: TurnEnd,
        checkpoint: Option<VersionedCheckpoint>,
    ) -> Result<Task, ClaimError>;

    /// Whether another turn of the session was claimed before this one and had not ended by `looked_at`, when its message was
    /// accepted because nothing seemed to run. The same answer however often the task is claimed. Turns that ended as
    /// [`SESSION_BUSY`](crate::task::codes::SESSION_BUSY) ran nothing and don't count.
    async fn is_too_many(&self, claim: &Claim, looked_at: DateTime<Utc>) -> Result<bool, PortError>;

    /// Hands the claim back: the next one need not wait for the lease, and the attempt does not count as lost.
    async fn release(&self, claim: &Claim) -> Result<(), PortError>;

    /// Stores that the owner wants the task stopped. The caller has made sure that the id was made for this user.
    async fn request_cancel(&self, user: &UserId, task: TaskId) -> Result<CancelOutcome, PortError>;

    /// Stores that all turns of the session that were accepted before `before` are to stop, also those that no worker has
    /// heard of yet. What they had said is kept. `by` is the task that takes their place, accepted at the time that this
    /// gives: `before`, or later when turns up to then were interrupted already; and when `by` has interrupted them before,
    /// as it has when its message is sent again, the time of then, and nothing accepted since is stopped.
    async fn interrupt(
        &self,
        user: &UserId,
        session: SessionId,
        by: TaskId,
        before: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, PortError>;

    /// Cancels what runs or waits in the session, forgets its checkpoint, and keeps later turns from starting.
    async fn delete_session(&self, user: &UserId, session: SessionId) -> Result<(), PortError>;

    /// The session's checkpoint, or an empty one of version 0.
    async fn checkpoint(&self, user: &UserId, session: SessionId) -> Result<VersionedCheckpoint, PortError>;

    /// Saves a checkpoint between turns.
    async fn save_checkpoint(
        &self,
        user: &UserId,
        session: SessionId,
        checkpoint: VersionedCheckpoint,
    ) -> Result<(), ClaimError>;

    /// The task with its text so far; `None` when no worker has heard of it, or it is another user's.
    async fn task(&self, user: &UserId, task: TaskId) -> Result<Option<TurnView>, PortError>;

    /// What the user's turns that ended at `since` or later used, and the summaries made since. Each counts once, however
    /// often it is delivered or replayed, and also while the record does not know it yet.
    async fn spent(&self, user: &UserId, since: DateTime<Utc>) -> Result<Spent, PortError>;

    /// How many tasks are claimed right now.
    async fn active(&self) -> Result<u64, PortError>;
}

/// A task as the turn's owner knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct TurnView {
    /// The task. Its reply is empty when `reply_expired`.
    pub task: Task,
    /// Hash of the request under its idempotency key.
    pub fingerprint: Option<String>,
    /// The reply's text is no longer here but in the store.
    pub reply_expired: bool,
    /// Its session was deleted.
    pub session_deleted: bool,
}
