//! The reply log: an append-only, ordered, closable log per task. Every client protocol is a view of it.
//!
//! What every adapter keeps:
//! - readers get exactly what follows their cursor, in order, whatever instance or attempt handed the cursor out;
//! - a reader never sees text of two attempts without the reset between them;
//! - a writer whose attempt is no longer the task's latest can append nothing;
//! - a slow or vanished reader holds up neither the writer nor another reader, and costs a bounded amount of memory.
//!
//! An attempt is opened by [`super::turns::Turns::claim`] and closed by [`super::turns::Turns::finish`].

use async_trait::async_trait;

use super::PortError;
use crate::{
    TaskId, UserId,
    cursor::{Cursor, UnknownCursor},
    log_view::Entry,
    port::turns::Claim,
};

/// Opens writers and readers.
#[async_trait]
pub trait ReplyLog: Send + Sync + 'static {
    /// The writer of a claimed attempt, at its beginning.
    async fn writer(&self, claim: &Claim) -> Result<Box<dyn ReplyWriter>, AppendError>;

    /// Reads what follows `after`, or all. The caller has made sure that the task is the user's; if no worker has heard
    /// of the task yet, the reader waits for it.
    async fn follow(
        &self,
        user: &UserId,
        task: TaskId,
        after: Option<Cursor>,
    ) -> Result<Box<dyn ReplyReader>, FollowError>;
}

/// Appends to one attempt's log.
#[async_trait]
pub trait ReplyWriter: Send {
    /// Adds text. It reaches readers at once; it waits while the log can't take more.
    async fn append(&mut self, text: &str) -> Result<(), AppendError>;
    /// All that was appended.
    fn text(&self) -> String;
}

/// Reads one task's log.
#[async_trait]
pub trait ReplyReader: Send {
    /// The next entry; `None` after the terminal one. Text that piled up comes in one entry. Cancel-safe.
    async fn next(&mut self) -> Result<Option<Entry>, FollowError>;
}

/// Why nothing could be appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The attempt is over: the lease was lost, or the log is closed.
    #[error("the attempt is no longer the task's latest")]
    Fenced,
    /// The log failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// Why nothing can be read.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The task is another user's.
    #[error("no such task")]
    UnknownTask,
    /// No event of this task ever carried the cursor.
    #[error(transparent)]
    UnknownCursor(#[from] UnknownCursor),
    /// The task has ended and its log has expired: replay it from the stored reply ([`crate::log_view::LogView`]).
    #[error("the log has expired")]
    Expired,
    /// The log failed.
    #[error(transparent)]
    Port(#[from] PortError),
}
