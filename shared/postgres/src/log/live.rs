//! One task's log at its readers, shared by all of the process. A reader is a cursor into it: it has no queue of its own,
//! so a slow one costs nothing but itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parlance_shared::{
    TaskId, UserId,
    cursor::{Cursor, UnknownCursor},
    log_view::{Entry, LogView},
    task::Task,
};
use tokio::sync::{Notify, futures::OwnedNotified};

use super::{
    overlap::{Extended, extend},
    segment::{Kind, Piece},
};

/// The log of one task, as far as this process knows it.
#[derive(Debug)]
pub(crate) struct LiveTask {
    pub(super) id: TaskId,
    state: Mutex<State>,
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    /// Where it stood once was looked up.
    known: bool,
    /// How often the database was asked, and why the latest try failed.
    loads: u64,
    trouble: Option<String>,
    user: Option<UserId>,
    /// A reader whose caller vouched for it before any worker had the task.
    vouched: Option<UserId>,
    attempt: u32,
    reset_reason: String,
    text: String,
    /// The text is in the store only.
    expired: bool,
    /// The text was deleted.
    erased: bool,
    end: Option<Task>,
}

/// A task's state as the database has it, or as its worker in this process does.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) user: UserId,
    pub(crate) attempt: u32,
    pub(crate) reset_reason: String,
    pub(crate) text: String,
    pub(crate) end: Option<Task>,
    pub(crate) expired: bool,
    pub(crate) erased: bool,
}

/// What a reader finds.
pub(super) enum Found {
    Entry(Entry),
    Nothing,
    Ended,
    Expired,
}

/// What a piece did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Applied {
    Fine,
    /// Something before it is missing.
    Behind,
}

impl LiveTask {
    pub(super) fn new(id: TaskId) -> Self {
        Self { id, state: Mutex::default(), changed: Arc::new(Notify::new()) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic can't leave a half-made change behind: each is a handful of assignments.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fires at the next change. Take it before looking, so that no change falls between.
    pub(super) fn changed(&self) -> OwnedNotified {
        Arc::clone(&self.changed).notified_owned()
    }

    pub(super) fn is_known(&self) -> bool {
        self.state().known
    }

    /// How often it was loaded.
    pub(super) fn loads(&self) -> u64 {
        self.state().loads
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.state().trouble.clone()
    }

    pub(super) fn set_trouble(&self, trouble: String) {
        self.state().trouble = Some(trouble);
        self.changed.notify_waiters();
    }

    /// Its owner, once that is known.
    pub(super) fn is_of(&self, user: &UserId) -> Option<bool> {
        let state = self.state();
        match &state.user {
            Some(owner) => Some(owner == user),
            None if state.vouched.as_ref() == Some(user) => Some(true),
            // Of a task that no worker has, nothing is known.
            None if state.attempt == 0 && state.end.is_none() => Some(true),
            None => None,
        }
    }

    /// The caller has made sure that the task is the user's, if no worker has heard of it yet.
    pub(super) fn vouch(&self, user: &UserId) {
        let mut state = self.state();
        if state.user.is_none() {
            state.vouched = Some(user.clone());
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.state().end.is_some()
    }

    /// Takes over what is newer than what is known. `None`: no worker has heard of it.
    pub(super) fn merge(&self, stored: Option<Stored>, from_database: bool) {
        let mut state = self.state();
        state.known = true;
        state.loads += u64::from(from_database);
        state.trouble = None;
        if let Some(stored) = stored {
            state.merge(stored);
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// An attempt has begun.
    pub(super) fn begin(&self, attempt: u32, reason: &str) {
        let mut state = self.state();
        if attempt > state.attempt {
            state.attempt = attempt;
            reason.clone_into(&mut state.reset_reason);
            state.text.clear();
            state.end = None;
            (state.expired, state.erased) = (false, false);
            drop(state);
            self.changed.notify_waiters();
        }
    }

    /// Takes over what a segment says. Before the first load nothing is missed: what a load does not have is applied
    /// again from the ring.
    pub(super) fn apply(&self, piece: &Piece<'_>) -> Applied {
        if piece.kind == Kind::Begun {
            self.begin(piece.attempt, piece.data);
            return Applied::Fine;
        }
        let mut state = self.state();
        if piece.attempt < state.attempt || (piece.attempt == state.attempt && state.end.is_some()) {
            return Applied::Fine;
        }
        if piece.attempt > state.attempt {
            return Applied::Behind;
        }
        match piece.kind {
            Kind::Begun => return Applied::Fine,
            Kind::Text => match extend(&mut state.text, piece.start, piece.data) {
                Extended::Known => return Applied::Fine,
                Extended::Gap => return Applied::Behind,
                Extended::Grown => {}
            },
            Kind::Ended => {
                let task = serde_json::from_str::<Task>(piece.data);
                let (true, Ok(mut task)) = (piece.start == state.text.len() as u64, task) else {
                    return Applied::Behind;
                };
                task.set_log_text(&state.text);
                state.end = Some(task);
            }
            Kind::EndStored => return Applied::Behind,
        }
        drop(state);
        self.changed.notify_waiters();
        Applied::Fine
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
            end: state.end.as_ref(),
            // Another process may have been ahead when it handed the cursor out.
            complete: state.end.is_some(),
            erased: state.erased,
        };
        Ok(match view.next_after(seen)? {
            Some(entry) => Found::Entry(entry),
            None if state.end.is_some() => Found::Ended,
            None => Found::Nothing,
        })
    }

    /// The text so far of this attempt.
    pub(crate) fn text_of(&self, attempt: u32) -> Option<String> {
        let state = self.state();
        (state.known && state.attempt == attempt && state.end.is_none()).then(|| state.text.clone())
    }
}

impl State {
    fn merge(&mut self, stored: Stored) {
        self.user = Some(stored.user);
        if stored.attempt < self.attempt || (stored.attempt == self.attempt && self.end.is_some()) {
            return;
        }
        if stored.attempt > self.attempt || stored.end.is_some() || stored.text.len() > self.text.len() {
            self.text = stored.text;
        }
        self.attempt = stored.attempt;
        self.reset_reason = stored.reset_reason;
        self.end = stored.end;
        self.expired = stored.expired;
        self.erased = stored.erased;
    }
}

#[cfg(test)]
mod tests {
    use parlance_shared::id::PrefixedId as _;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn piece(kind: Kind, attempt: u32, start: usize, data: &str) -> Piece<'_> {
        Piece { task: Uuid::nil(), attempt, kind, start: start as u64, data }
    }

    fn live() -> LiveTask {
        LiveTask::new(TaskId::from_uuid(Uuid::now_v7()))
    }

    fn stored(attempt: u32, text: &str) -> Stored {
        Stored {
            user: UserId::new("alice"),
            attempt,
            reset_reason: "worker_lost".into(),
            text: text.into(),
            end: None,
            expired: false,
            erased: false,
        }
    }

    proptest! {
        /// Loads and pieces in any order, some lost, some doubled: the text is never anything but a prefix of the truth,
        /// and a piece that shows a gap says so.
        #[test]
        fn whatever_comes_the_text_is_a_prefix(
            whole in "\\PC{0,30}",
            steps in proptest::collection::vec((any::<bool>(), 0_usize..60, 0_usize..20), 0..40),
        ) {
            let live = live();
            live.merge(Some(stored(1, "")), true);
            for (load, from, length) in steps {
                let from = whole.floor_char_boundary(from.min(whole.len()));
                let to = whole.floor_char_boundary((from + length).min(whole.len())).max(from);
                let before = live.text_of(1).unwrap().len();
                if load {
                    live.merge(Some(stored(1, &whole[..to])), true);
                } else {
                    let applied = live.apply(&piece(Kind::Text, 1, from, &whole[from..to]));
                    prop_assert_eq!(applied == Applied::Behind, from > before);
                }
                let text = live.text_of(1).unwrap();
                prop_assert!(whole.starts_with(&text) && text.len() >= before);
            }
        }
    }

    #[test]
    fn text_of_another_attempt_is_never_mixed_in() {
        let live = live();
        live.merge(None, true);
        live.begin(2, "worker_lost");
        assert_eq!(live.apply(&piece(Kind::Text, 1, 0, "zombie")), Applied::Fine);
        assert_eq!(live.apply(&piece(Kind::Text, 2, 0, "new")), Applied::Fine);
        live.merge(Some(stored(1, "zombie, stored")), true);
        assert_eq!(live.text_of(2).as_deref(), Some("new"));
        assert_eq!(live.apply(&piece(Kind::Text, 3, 0, "newer")), Applied::Behind, "its reset is missing");
        live.begin(3, "provider_stalled");
        assert_eq!(live.text_of(3).as_deref(), Some(""));
    }

    #[test]
    fn an_end_is_taken_over_only_with_its_text() {
        let task = Task { attempt: 1, ..Task::queued(TaskId::from_uuid(Uuid::now_v7())) };
        let json = serde_json::to_string(&task).unwrap();
        let live = live();
        live.begin(1, "");
        live.apply(&piece(Kind::Text, 1, 0, "abc"));
        assert_eq!(live.apply(&piece(Kind::Ended, 1, 4, &json)), Applied::Behind);
        assert_eq!(live.apply(&piece(Kind::EndStored, 1, 0, "")), Applied::Behind);
        assert!(!live.has_ended());
        assert_eq!(live.apply(&piece(Kind::Ended, 1, 3, &json)), Applied::Fine);
        assert!(live.has_ended());
        assert_eq!(live.apply(&piece(Kind::Text, 1, 3, "more")), Applied::Fine);
        live.begin(1, "");
        assert!(live.has_ended());
        live.begin(2, "replayed");
        assert!(!live.has_ended(), "an operator had it answered anew");
    }
}
