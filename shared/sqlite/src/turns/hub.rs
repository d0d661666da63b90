//! The tasks that are in memory: those being worked on, and those that somebody reads.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::sync::Notify;

use parlance_shared::{
    TaskId,
    task::{Status, Task},
};

use super::live::LiveTask;

#[derive(Default)]
pub(crate) struct Hub {
    inner: Mutex<Inner>,
    pub(super) dirty: Notify,
    let_go: Notify,
}

#[derive(Default)]
struct Inner {
    /// Every task that anybody holds.
    seen: HashMap<TaskId, Weak<LiveTask>>,
    /// Those that a worker has claimed: kept until they end.
    held: HashMap<TaskId, Arc<LiveTask>>,
    /// Those with text that may not be stored.
    dirty: HashSet<TaskId>,
    /// When `seen` had this many entries, dead ones are swept.
    sweep_at: usize,
}

impl Hub {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The task if it is in memory.
    pub(super) fn find(&self, id: TaskId) -> Option<Arc<LiveTask>> {
        self.inner().seen.get(&id).and_then(Weak::upgrade)
    }

    /// The task, in memory from now on for as long as the caller keeps it.
    pub(super) fn open(&self, id: TaskId) -> Arc<LiveTask> {
        let mut inner = self.inner();
        if let Some(live) = inner.seen.get(&id).and_then(Weak::upgrade) {
            return live;
        }
        let live = Arc::new(LiveTask::new(id));
        inner.seen.insert(id, Arc::downgrade(&live));
        inner.sweep();
        live
    }

    /// Keeps the task in memory until [`Hub::let_go`].
    pub(super) fn hold(&self, id: TaskId) -> Arc<LiveTask> {
        let live = self.open(id);
        self.inner().held.insert(id, Arc::clone(&live));
        live
    }

    pub(super) fn let_go(&self, id: TaskId) {
        let mut inner = self.inner();
        inner.dirty.remove(&id);
        let held = inner.held.remove(&id);
        drop(inner);
        drop(held);
        self.let_go.notify_waiters();
    }

    /// Tells those that are in memory that their owner wants them stopped.
    pub(crate) fn cancel_all(&self, tasks: &[TaskId]) {
        tasks.iter().filter_map(|id| self.find(*id)).for_each(|live| live.cancelled().cancel());
    }

    /// Tells the readers of tasks that were cancelled without a worker, in these attempts, and of which nothing is kept.
    pub(crate) fn end_all(&self, tasks: &[(TaskId, u32)]) {
        for (id, attempt) in tasks {
            if let Some(live) = self.find(*id) {
                live.end_without_a_word(Task { status: Status::Cancelled, attempt: *attempt, ..Task::queued(*id) });
            }
        }
    }

    /// Waits until no task is claimed.
    pub(super) async fn idle(&self) {
        loop {
            let let_go = self.let_go.notified();
            if self.held() == 0 {
                return;
            }
            let_go.await;
        }
    }

    pub(super) fn held(&self) -> u64 {
        self.inner().held.len() as u64
    }

    pub(super) fn mark_dirty(&self, id: TaskId) {
        if self.inner().dirty.insert(id) {
            self.dirty.notify_one();
        }
    }

    pub(super) fn take_dirty(&self) -> Vec<Arc<LiveTask>> {
        let mut inner = self.inner();
        let ids = std::mem::take(&mut inner.dirty);
        ids.iter().filter_map(|id| inner.held.get(id).cloned()).collect()
    }
}

impl Inner {
    /// Forgets tasks that nobody holds any more; the cost is spread over as many insertions as there are entries.
    fn sweep(&mut self) {
        if self.seen.len() > self.sweep_at {
            self.seen.retain(|_, live| live.strong_count() > 0);
            self.sweep_at = (2 * self.seen.len()).max(256);
        }
    }
}
