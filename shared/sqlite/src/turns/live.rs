//! One task's log in memory, shared by its writer and all its readers. A reader is a cursor into it: it has no queue of
//! its own, so a slow one costs nothing but itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, futures::OwnedNotified};
use tokio_util::sync::CancellationToken;

use parlance_shared::{
    TaskId, UserId,
    cursor::{Cursor, UnknownCursor},
    log_view::{Entry, LogView},
    task::Task,
};

pub(super) struct LiveTask {
    pub(super) id: TaskId,
    state: Mutex<State>,
    changed: Arc<Notify>,
    /// The same, but for text that is added.
    turned: Arc<Notify>,
    /// Held while the stored state is read, so that many new readers read it once.
    pub(super) loading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    known: bool,
    user: Option<UserId>,
    attempt: u32,
    reset_reason: String,
    text: String,
    /// Bytes of `text` that are in the database.
    stored: usize,
    /// `text` holds all that was ever sent of this attempt.
    complete: bool,
    /// The text is in the store only.
    expired: bool,
    /// The text was deleted.
    erased: bool,
    end: Option<Arc<Task>>,
    cancelled: CancellationToken,
}

/// A task's state as the database has it.
pub(super) struct Stored {
    pub(super) user: UserId,
    pub(super) attempt: u32,
    pub(super) reset_reason: String,
    pub(super) text: String,
    pub(super) end: Option<Task>,
    pub(super) expired: bool,
    pub(super) erased: bool,
}

/// What a reader finds.
pub(super) enum Found {
    Entry(Entry),
    Nothing,
    Ended,
    Expired,
}

/// Text that is not in the database yet.
pub(super) struct Unstored {
    pub(super) attempt: u32,
    pub(super) start: usize,
    pub(super) text: String,
}

impl LiveTask {
    pub(super) fn new(id: TaskId) -> Self {
        let (changed, turned) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        Self { id, state: Mutex::default(), changed, turned, loading: tokio::sync::Mutex::new(()) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic can't leave a half-made change behind: each is a handful of assignments.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_known(&self) -> bool {
        self.state().known
    }

    pub(super) fn is_of(&self, user: &UserId) -> bool {
        self.state().user.as_ref().is_none_or(|owner| owner == user)
    }

    /// Fires at the next change. Take it before looking, so that no change falls between.
    pub(super) fn changed(&self) -> OwnedNotified {
        Arc::clone(&self.changed).notified_owned()
    }

    /// Fires at the next change that is more than added text: another attempt, the end. None once there is an end.
    pub(super) fn turned(&self) -> Option<OwnedNotified> {
        let turned = Arc::clone(&self.turned).notified_owned();
        self.state().end.is_none().then_some(turned)
    }

    fn tell_of_a_turn(&self) {
        self.turned.notify_waiters();
        self.changed.notify_waiters();
    }

    pub(super) fn cancelled(&self) -> CancellationToken {
        self.state().cancelled.clone()
    }

    /// Takes over what the database has, unless something newer came meanwhile. `None`: no worker has heard of it.
    pub(super) fn load(&self, stored: Option<Stored>) {
        let mut state = self.state();
        if state.known {
            return;
        }
        state.known = true;
        let Some(stored) = stored else {
            state.complete = true;
            return;
        };
        state.user = Some(stored.user);
        state.attempt = stored.attempt;
        state.reset_reason = stored.reset_reason;
        state.stored = stored.text.len();
        state.text = stored.text;
        // A running attempt that is not live here died with its process, perhaps after sending text it had not stored.
        state.complete = stored.end.is_some();
        state.end = stored.end.map(Arc::new);
        state.expired = stored.expired;
        state.erased = stored.erased;
        drop(state);
        self.tell_of_a_turn();
    }

    pub(super) fn begin(&self, user: UserId, attempt: u32, reset_reason: String) -> CancellationToken {
        let mut state = self.state();
        *state = State { known: true, user: Some(user), attempt, reset_reason, complete: true, ..State::default() };
        let cancelled = state.cancelled.clone();
        drop(state);
        self.tell_of_a_turn();
        cancelled
    }

    /// `erased`: what was said is deleted.
    pub(super) fn end(&self, user: UserId, task: Task, erased: bool) {
        let mut state = self.state();
        state.known = true;
        state.user = Some(user);
        state.attempt = task.attempt;
        state.text = task.log_text().into_owned();
        state.stored = state.text.len();
        state.complete = true;
        state.erased = erased;
        state.end = Some(Arc::new(task));
        drop(state);
        self.tell_of_a_turn();
    }

    /// The same for whoever reads it already, with all text gone.
    pub(super) fn end_without_a_word(&self, task: Task) {
        let user = self.state().user.clone();
        if let Some(user) = user {
            self.end(user, task, true);
        }
    }

    /// Adds text to this attempt; false when it is no longer the latest, or over.
    pub(super) fn append(&self, attempt: u32, text: &str) -> bool {
        let mut state = self.state();
        if state.attempt != attempt || state.end.is_some() {
            return false;
        }
        state.text.push_str(text);
        drop(state);
        self.changed.notify_waiters();
        true
    }

    pub(super) fn next_after(&self, seen: Option<Cursor>) -> Result<Found, UnknownCursor> {
        let state = self.state();
        if state.expired {
            return Ok(Found::Expired);
        }
        let view = LogView {
            attempt: state.attempt,
            reset_reason: &state.reset_reason,
            text: state.text.as_str().into(),
            end: state.end.as_deref(),
            complete: state.complete,
            erased: state.erased,
        };
        Ok(match view.next_after(seen)? {
            Some(entry) => Found::Entry(entry),
            None if state.end.is_some() => Found::Ended,
            None => Found::Nothing,
        })
    }

    /// The text so far of this attempt, or the end if it has come.
    pub(super) fn snapshot(&self, attempt: u32) -> Option<(String, Option<Arc<Task>>)> {
        let state = self.state();
        (state.known && state.attempt == attempt).then(|| (state.text.clone(), state.end.clone()))
    }

    pub(super) fn text(&self, attempt: u32) -> String {
        let state = self.state();
        if state.attempt == attempt { state.text.clone() } else { String::new() }
    }

    pub(super) fn unstored(&self) -> Option<Unstored> {
        let state = self.state();
        let new = state.end.is_none() && state.text.len() > state.stored;
        new.then(|| Unstored {
            attempt: state.attempt,
            start: state.stored,
            text: state.text[state.stored..].to_owned(),
        })
    }

    pub(super) fn mark_stored(&self, attempt: u32, bytes: usize) {
        let mut state = self.state();
        if state.attempt == attempt && state.stored < bytes {
            state.stored = bytes;
        }
    }
}
