//! The tasks that somebody in this process reads.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use parlance_shared::{TaskId, id::PrefixedId as _};
use tokio::sync::Notify;
use uuid::Uuid;

use super::live::LiveTask;

/// Each task is there for as long as anybody holds it.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    tasks: Mutex<Tasks>,
    readers: AtomicUsize,
    gone: Notify,
}

#[derive(Debug, Default)]
struct Tasks {
    by_id: HashMap<Uuid, Weak<LiveTask>>,
    /// When there are more than this many entries, dead ones are swept.
    sweep_at: usize,
}

impl Registry {
    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The task if it is read.
    pub(crate) fn find(&self, id: TaskId) -> Option<Arc<LiveTask>> {
        self.tasks().by_id.get(&id.uuid()).and_then(Weak::upgrade)
    }

    /// The task, from now on kept up to date for as long as the caller keeps it.
    pub(super) fn open(&self, id: TaskId) -> Arc<LiveTask> {
        let mut tasks = self.tasks();
        if let Some(live) = tasks.by_id.get(&id.uuid()).and_then(Weak::upgrade) {
            return live;
        }
        let live = Arc::new(LiveTask::new(id));
        tasks.by_id.insert(id.uuid(), Arc::downgrade(&live));
        if tasks.by_id.len() > tasks.sweep_at {
            tasks.by_id.retain(|_, live| live.strong_count() > 0);
            tasks.sweep_at = (2 * tasks.by_id.len()).max(256);
        }
        live
    }

    /// Calls `visit` for each of the ids that is read.
    pub(super) fn each(&self, ids: impl Iterator<Item = Uuid>, mut visit: impl FnMut(usize, &LiveTask)) {
        let tasks = self.tasks();
        for (at, id) in ids.enumerate() {
            if let Some(live) = tasks.by_id.get(&id).and_then(Weak::upgrade) {
                visit(at, &live);
            }
        }
    }

    /// All that are read and have not ended.
    pub(super) fn running(&self) -> Vec<TaskId> {
        let all: Vec<_> = self.tasks().by_id.values().filter_map(Weak::upgrade).collect();
        all.iter().filter(|live| !live.has_ended()).map(|live| live.id).collect()
    }

    /// Counts a reader until the guard is dropped.
    pub(super) fn reader(self: &Arc<Self>) -> ReaderCount {
        self.readers.fetch_add(1, Ordering::AcqRel);
        ReaderCount(Arc::clone(self))
    }

    pub(crate) fn readers(&self) -> usize {
        self.readers.load(Ordering::Acquire)
    }

    /// Waits until nobody reads.
    pub(crate) async fn none(&self) {
        loop {
            let gone = self.gone.notified();
            if self.readers() == 0 {
                return;
            }
            gone.await;
        }
    }
}

/// See [`Registry::reader`].
#[derive(Debug)]
pub(super) struct ReaderCount(Arc<Registry>);

impl Drop for ReaderCount {
    fn drop(&mut self) {
        if self.0.readers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.gone.notify_waiters();
        }
    }
}
