//! What the tail is told to do: by the listener, and by readers.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use parlance_shared::TaskId;
use tokio::sync::{Notify, futures::Notified};
use uuid::Uuid;

use super::facts::Flushed;

/// What the tail is told to do.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    inner: Mutex<Todo>,
    /// Segments are fetched.
    follows: AtomicBool,
    wake: Notify,
}

#[derive(Debug, Default)]
pub(super) struct Todo {
    pub(super) flushed: HashMap<Uuid, News>,
    pub(super) loads: HashSet<TaskId>,
    /// Notifications may have been missed.
    pub(super) resync: bool,
}

/// Flushes of one writer that were notified and not fetched yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct News {
    pub(super) first: i64,
    pub(super) upto: i64,
    /// Of the first and the last of them.
    pub(super) slots: (i16, i16),
    /// They lie in more slots than two.
    pub(super) is_long: bool,
}

impl Inbox {
    pub(super) fn todo(&self) -> MutexGuard<'_, Todo> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for the turn as the database has it.
    pub(crate) fn load(&self, task: TaskId) {
        self.todo().loads.insert(task);
        self.wake.notify_one();
    }

    /// A segment can be fetched.
    pub(super) fn flushed(&self, Flushed { writer, flush_no, slot }: Flushed) {
        if !self.follows() {
            return;
        }
        let news = News { first: flush_no, upto: flush_no, slots: (slot, slot), is_long: false };
        self.todo().flushed.entry(writer).and_modify(|known| known.add(news)).or_insert(news);
        self.wake.notify_one();
    }

    /// Notifications may have been missed until now.
    pub(super) fn resync(&self) {
        self.todo().resync = true;
        self.wake.notify_one();
    }

    /// Whether segments are fetched, and so their notifications noted.
    pub(super) fn follows(&self) -> bool {
        self.follows.load(Ordering::Acquire)
    }

    pub(super) fn set_follows(&self, follows: bool) {
        self.follows.store(follows, Ordering::Release);
        self.todo().flushed.clear();
    }

    /// Fires when there is something to do.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.wake.notified()
    }
}

impl Todo {
    pub(super) fn is_empty(&self) -> bool {
        !self.resync && self.loads.is_empty() && self.flushed.is_empty()
    }
}

impl News {
    /// Adds what came later.
    fn add(&mut self, later: Self) {
        self.upto = self.upto.max(later.upto);
        // A span of more than two slots is one of more than ten minutes.
        self.is_long |= later.is_long || (self.slots.0 != self.slots.1 && later.slots.1 != self.slots.1);
        self.slots.1 = later.slots.1;
    }
}
