//! The port's reader: a cursor into a task's log.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use parlance_shared::{
    TaskId, UserId,
    cursor::Cursor,
    log_view::{Entry, LogView},
    port::reply_log::{FollowError, ReplyReader},
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use super::{
    held::{Held, HeldClaims},
    inbox::Inbox,
    live::{Found, LiveTask, Stored},
    registry::{ReaderCount, Registry},
};
use crate::database::unavailable;

/// How long a reader waits for the turn to be looked up.
const PATIENCE: Duration = Duration::from_secs(3);
/// A look-up that was under way when a reader came may be older than the reader's cursor.
const LOOKS: u32 = 2;

/// Opens readers.
#[derive(Clone)]
pub(crate) struct Follow {
    pub(crate) registry: Arc<Registry>,
    pub(crate) inbox: Arc<Inbox>,
    /// The claims of a process that is a worker as well.
    pub(crate) held: Option<Arc<HeldClaims>>,
    /// Has the listener's connection looked at when there is a first reader.
    pub(crate) busy: Arc<Notify>,
}

impl Follow {
    pub(crate) async fn follow(
        &self,
        user: &UserId,
        task: TaskId,
        after: Option<Cursor>,
    ) -> Result<Box<dyn ReplyReader>, FollowError> {
        if self.registry.readers() == 0 {
            self.busy.notify_one();
        }
        let count = self.registry.reader();
        let live = self.registry.open(task);
        if let Some(held) = self.held.as_ref().and_then(|held| held.find(task)) {
            if held.user != *user {
                return Err(FollowError::UnknownTask);
            }
            self.take_over(&live, &held, after)?;
        } else if !live.is_known() {
            self.look_up(&live).await?;
        }
        let is_owner = match live.is_of(user) {
            Some(is_owner) => is_owner,
            None => {
                self.look_up(&live).await?;
                live.is_of(user).unwrap_or(true)
            }
        };
        if !is_owner {
            return Err(FollowError::UnknownTask);
        }
        live.vouch(user);
        // A cursor that was never handed out is refused now, not in the middle of the stream. Another process may have
        // handed out one that this one is yet to come to.
        let mut looks = 0;
        let found = loop {
            match live.next_after(after) {
                Err(_) if looks < LOOKS => {
                    looks += 1;
                    self.look_up(&live).await?;
                }
                found => break found?,
            }
        };
        if let Found::Expired = found {
            return Err(FollowError::Expired);
        }
        Ok(Box::new(Reader { live, seen: after, _count: count }))
    }

    /// This process' own worker knows more than the database. Its text reaches readers as all others' does; what it has
    /// said already need not be looked up.
    fn take_over(&self, live: &Arc<LiveTask>, held: &Held, after: Option<Cursor>) -> Result<(), FollowError> {
        let (attempt, text) = (held.attempt(), held.stream.text());
        if after.is_some_and(|after| after.attempt == attempt) && !held.stream.is_over() {
            let reset_reason = held.reset_reason.as_str();
            let whole =
                LogView { attempt, reset_reason, text: text.as_str().into(), end: None, complete: true, erased: false };
            whole.next_after(after)?;
        }
        let (user, reset_reason) = (held.user.clone(), held.reset_reason.clone());
        live.merge(Some(Stored { user, attempt, reset_reason, text, end: None, expired: false, erased: false }), false);
        self.inbox.load(live.id);
        Ok(())
    }

    async fn look_up(&self, live: &Arc<LiveTask>) -> Result<(), FollowError> {
        let (before, until) = (live.loads(), Instant::now() + PATIENCE);
        self.inbox.load(live.id);
        loop {
            let changed = live.changed();
            if live.loads() > before {
                return Ok(());
            }
            if timeout_at(until, changed).await.is_err() {
                let cause = live.trouble().unwrap_or_else(|| "the log was not read in time".to_owned());
                return Err(unavailable(cause).into());
            }
        }
    }
}

struct Reader {
    live: Arc<LiveTask>,
    seen: Option<Cursor>,
    _count: ReaderCount,
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
