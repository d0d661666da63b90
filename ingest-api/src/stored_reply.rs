//! Reads a task whose log has expired: the same events, with the same ids, from the stored reply.

use async_trait::async_trait;
use parlance_shared::{
    cursor::{Cursor, UnknownCursor},
    log_view::{Entry, LogView},
    port::reply_log::{FollowError, ReplyReader},
    task::Task,
};

/// The record keeps that an attempt was replaced, not why.
const RESET_REASON: &str = "attempt_replaced";

/// A reader at some place of a stored reply.
pub(crate) struct StoredReply {
    task: Box<Task>,
    seen: Option<Cursor>,
}

impl StoredReply {
    /// A reader behind `seen`.
    pub(crate) fn open(task: Task, seen: Option<Cursor>) -> Result<Self, UnknownCursor> {
        LogView::of_ended(&task, RESET_REASON).next_after(seen)?;
        Ok(Self { task: Box::new(task), seen })
    }
}

#[async_trait]
impl ReplyReader for StoredReply {
    async fn next(&mut self) -> Result<Option<Entry>, FollowError> {
        let entry = LogView::of_ended(&self.task, RESET_REASON).next_after(self.seen)?;
        self.seen = entry.as_ref().map(|entry| entry.cursor).or(self.seen);
        Ok(entry)
    }
}
