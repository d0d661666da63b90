//! The reply log's port: writers append to a task in memory, readers are cursors into it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::time::{Instant, sleep_until};

use parlance_shared::{
    TaskId, UserId,
    cursor::Cursor,
    log_view::{Entry, LogEvent},
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

/// A reader that was just given text rests so long before it takes more: what a fast model says meanwhile is one entry then, and
/// not a wake-up, an event and a packet for each token. Far below what an eye sees; the first text, another attempt and the
/// end never wait.
const REST: Duration = Duration::from_millis(4);

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
        Ok(Box::new(Reader { live, seen: after, rests_until: None }))
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
    rests_until: Option<Instant>,
}

#[async_trait]
impl ReplyReader for Reader {
    async fn next(&mut self) -> Result<Option<Entry>, FollowError> {
        if let Some(until) = self.rests_until
            && let Some(turned) = self.live.turned()
        {
            // Dropped meanwhile, the rest is gone on with.
            tokio::select! {
                () = sleep_until(until) => {}
                () = turned => {}
            }
        }
        self.rests_until = None;
        loop {
            let changed = self.live.changed();
            match self.live.next_after(self.seen)? {
                Found::Entry(entry) => {
                    self.seen = Some(entry.cursor);
                    self.rests_until = matches!(entry.event, LogEvent::Delta(_)).then(|| Instant::now() + REST);
                    return Ok(Some(entry));
                }
                Found::Ended => return Ok(None),
                Found::Expired => return Err(FollowError::Expired),
                Found::Nothing => changed.await,
            }
        }
    }
}
