//! One attempt's text at its worker: what was said, what of it is on its way to readers, and what is stored.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use parlance_shared::{TaskId, port::turns::WorkerId};
use tokio::{
    sync::{Notify, futures::OwnedNotified},
    time::Instant,
};

use super::outbox::Outbox;

/// The text of one attempt.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(super) task: TaskId,
    pub(super) attempt: u32,
    pub(super) worker: WorkerId,
    state: Mutex<State>,
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    text: String,
    /// Bytes that were in a committed segment.
    sent: usize,
    /// Bytes that are in stored rows, as far as is known.
    stored: usize,
    /// It is in the outbox' list of streams to send.
    listed: bool,
    /// It is in the outbox' queue of streams to store.
    queued: bool,
    /// Nothing more can be appended.
    over: bool,
}

/// What became of an append.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Append {
    Done,
    /// There is no room until something was flushed.
    Full,
    /// The attempt is over.
    Over,
}

/// Text that is to be stored.
#[derive(Debug)]
pub(crate) struct Unstored {
    pub(crate) start: usize,
    pub(crate) text: String,
}

impl Stream {
    pub(crate) fn new(task: TaskId, attempt: u32, worker: WorkerId) -> Arc<Self> {
        Arc::new(Self { task, attempt, worker, state: Mutex::default(), changed: Arc::new(Notify::new()) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is a handful of assignments: a panic elsewhere leaves none half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fires when there may be room, or the attempt is over. Take it before looking.
    pub(super) fn changed(&self) -> OwnedNotified {
        Arc::clone(&self.changed).notified_owned()
    }

    pub(super) fn append(self: &Arc<Self>, text: &str, outbox: &Outbox, store_after: Duration) -> Append {
        let mut state = self.state();
        if state.over {
            return Append::Over;
        }
        if !outbox.has_room(state.text.len() - state.sent, text.len()) {
            outbox.hurry();
            return Append::Full;
        }
        let is_first = state.text.is_empty();
        state.text.push_str(text);
        outbox.waits(text.len());
        if !std::mem::replace(&mut state.listed, true) {
            outbox.list(Arc::clone(self), is_first);
        }
        if !std::mem::replace(&mut state.queued, true) {
            outbox.queue(Arc::clone(self), Instant::now() + store_after);
        }
        Append::Done
    }

    pub(crate) fn text(&self) -> String {
        self.state().text.clone()
    }

    pub(crate) fn text_is(&self, text: &str) -> bool {
        self.state().text == text
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state().over
    }

    /// Nothing more is appended, sent or stored.
    pub(crate) fn close(&self, outbox: &Outbox) {
        let mut state = self.state();
        state.over = true;
        outbox.gone(state.text.len() - state.sent);
        state.sent = state.text.len();
        drop(state);
        self.changed.notify_waiters();
    }

    /// Hands the unsent text to `send`, at most `most` bytes of it; gives the offset up to which it went. `None` when there
    /// is nothing to send any more.
    pub(super) fn send(&self, most: usize, send: impl FnOnce(u64, &str)) -> Option<usize> {
        let mut state = self.state();
        state.listed = false;
        if state.over {
            return None;
        }
        let rest = &state.text[state.sent..];
        let piece = &rest[..rest.floor_char_boundary(most)];
        send(state.sent as u64, piece);
        Some(state.sent + piece.len())
    }

    /// A segment with the text up to here was committed.
    pub(super) fn was_sent(self: &Arc<Self>, upto: usize, outbox: &Outbox) {
        let mut state = self.state();
        outbox.gone(upto.saturating_sub(state.sent));
        state.sent = state.sent.max(upto);
        if !state.over && state.sent < state.text.len() && !std::mem::replace(&mut state.listed, true) {
            outbox.list(Arc::clone(self), false);
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// The segment was perhaps not committed: the same text goes again. Also without text, so that readers see how much
    /// they should have.
    pub(super) fn send_again(self: &Arc<Self>, outbox: &Outbox) {
        let mut state = self.state();
        if !state.over && !std::mem::replace(&mut state.listed, true) {
            outbox.list(Arc::clone(self), false);
        }
    }

    /// What is not stored yet, for whoever finds the stream in the outbox' queue. It may stand there twice.
    pub(super) fn unqueue(&self) -> Option<Unstored> {
        let was_queued = std::mem::take(&mut self.state().queued);
        was_queued.then(|| self.unstored()).flatten()
    }

    /// What is not stored yet.
    pub(crate) fn unstored(&self) -> Option<Unstored> {
        let state = self.state();
        let new = !state.over && state.text.len() > state.stored;
        new.then(|| Unstored { start: state.stored, text: state.text[state.stored..].to_owned() })
    }

    pub(super) fn was_stored(self: &Arc<Self>, upto: usize, outbox: &Outbox, store_after: Duration) {
        let mut state = self.state();
        state.stored = state.stored.max(upto);
        if !state.over && state.stored < state.text.len() && !std::mem::replace(&mut state.queued, true) {
            outbox.queue(Arc::clone(self), Instant::now() + store_after);
        }
    }

    /// What was stored may be lost: all of it is stored again, now.
    pub(super) fn store_again(self: &Arc<Self>, outbox: &Outbox) {
        let mut state = self.state();
        state.stored = 0;
        if !state.over && !state.text.is_empty() {
            state.queued = true;
            outbox.queue_first(Arc::clone(self));
        }
    }
}
