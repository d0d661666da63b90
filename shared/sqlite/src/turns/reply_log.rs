//! The reply log's port: writers append to a task in memory, readers are cursors into it.

use std::sync::Arc;

use async_trait::async_trait;

use parlance_shared::{
    TaskId, UserId,
    cursor::Cursor,
    log_view::Entry,
    port::{
        reply_log::{AppendError, FollowError, ReplyLog, ReplyReader, ReplyWriter},
        turns::Claim,
    },
};

use super::{
    SqliteTurns,
    hub::Hub,
    live::{Found, LiveTask},
    view,
};

#[async_trait]
impl ReplyLog for SqliteTurns {
    async fn writer(&self, claim: &Claim) -> Result<Box<dyn ReplyWriter>, AppendError> {
        let live = self.hub.find(claim.task_id).ok_or(AppendError::Fenced)?;
        if !live.append(claim.attempt, "") {
            return Err(AppendError::Fenced);
        }
        Ok(Box::new(Writer { live, attempt: claim.attempt, hub: Arc::clone(&self.hub) }))
    }

    async fn follow(
        &self,
        user: &UserId,
        task: TaskId,
        after: Option<Cursor>,
    ) -> Result<Box<dyn ReplyReader>, FollowError> {
        let live = self.hub.open(task);
        view::load_live(self, &live).await?;
        if !live.is_of(user) {
            return Err(FollowError::UnknownTask);
        }
        // A cursor that was never handed out is refused now, not in the middle of the stream.
        if let Found::Expired = live.next_after(after)? {
            return Err(FollowError::Expired);
        }
        Ok(Box::new(Reader { live, seen: after }))
    }
}

struct Writer {
    live: Arc<LiveTask>,
    attempt: u32,
    hub: Arc<Hub>,
}

#[async_trait]
impl ReplyWriter for Writer {
    async fn append(&mut self, text: &str) -> Result<(), AppendError> {
        if text.is_empty() {
            return Ok(());
        }
        if !self.live.append(self.attempt, text) {
            return Err(AppendError::Fenced);
        }
        self.hub.mark_dirty(self.live.id);
        Ok(())
    }

    fn text(&self) -> String {
        self.live.text(self.attempt)
    }
}

struct Reader {
    live: Arc<LiveTask>,
    seen: Option<Cursor>,
}

#[async_trait]
impl ReplyReader for Reader {
    async fn next(&mut self) -> Result<Option<Entry>, FollowError> {
        loop {
            let changed = self.live.changed();
            match self.live.next_after(self.seen)? {
                Found::Entry(entry) => {
                    self.seen = Some(entry.cursor);
                    return Ok(Some(entry));
                }
                Found::Ended => return Ok(None),
                Found::Expired => return Err(FollowError::Expired),
                Found::Nothing => changed.await,
            }
        }
    }
}
