//! When a consumer has to look into the database: what the consumers of one subscription in this process share.
//!
//! All of it is state, none of it an event: a consumer reads it, and only sleeps on [`Signals::woken`] if nothing is to
//! be done. So a wake-up can't be lost with a future that was dropped, a query that failed or a consumer that went away.
//!
//! "Is something ready?" is answered without a query. Whatever makes a message ready takes the next change number inside
//! its writer job ([`Inner::readied`]) and announces it after the commit; a taker notes inside *its* job the number up to
//! which it has seen everything. Jobs run one after the other, so what has a number up to the one noted was visible to
//! that taker, even if both shared a transaction.

use std::{
    mem,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering::SeqCst},
    },
};

use tokio::sync::{Notify, futures::Notified};

use super::{Inner, hand_off::HandOff};

/// Names one lease of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hold {
    pub(super) ordering_key: String,
    pub(super) seq: i64,
    pub(super) token: i64,
}

/// A lease that ended without an answer, while the process lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dropped {
    pub(super) hold: Hold,
    /// If not, no consumer has seen it, and it does not count as a delivery.
    pub(super) was_delivered: bool,
}

/// When a message may be delivered that was not ready before.
#[derive(Clone, Copy, Debug)]
pub(super) enum Readied {
    /// At once; holds the number of the change.
    Now(u64),
    /// In milliseconds since 1970.
    At(i64),
}

pub(super) struct Signals {
    wake: Notify,
    /// The latest change that made a message ready.
    changed: AtomicU64,
    /// All that was ready by this change was taken.
    taken: AtomicU64,
    /// No lease or wait ends before this time (milliseconds since 1970).
    due: AtomicI64,
    /// Counts seeks, which take back what consumers have fetched but not yet handed out.
    seeks: AtomicU64,
    /// Leases dropped without an answer. A drop can't wait for the database, so the next taker gives them back; until
    /// there is one, nobody could receive them anyway. At most as many as were outstanding.
    dropped: Mutex<Vec<Dropped>>,
    pub(super) hand_off: HandOff,
}

impl Signals {
    /// The first taker looks for what is ready and for what is due.
    pub(super) fn new() -> Self {
        Self {
            wake: Notify::new(),
            changed: AtomicU64::new(1),
            taken: AtomicU64::new(0),
            due: AtomicI64::new(i64::MIN),
            seeks: AtomicU64::new(0),
            dropped: Mutex::default(),
            hand_off: HandOff::default(),
        }
    }

    /// Completes after the next change of state. Make it first, then read the state, then wait.
    pub(super) fn woken(&self) -> Notified<'_> {
        self.wake.notified()
    }

    pub(super) fn wake(&self) {
        self.wake.notify_waiters();
    }

    pub(super) fn is_ready(&self) -> bool {
        self.changed.load(SeqCst) > self.taken.load(SeqCst) || !self.dropped().is_empty()
    }

    pub(super) fn due(&self) -> i64 {
        self.due.load(SeqCst)
    }

    pub(super) fn seeks(&self) -> u64 {
        self.seeks.load(SeqCst)
    }

    /// Call after the commit, on the writer's thread.
    pub(super) fn announce(&self, readied: Readied) {
        match readied {
            Readied::Now(change) => self.changed.fetch_max(change, SeqCst),
            Readied::At(time) => self.due.fetch_min(time, SeqCst).unsigned_abs(),
        };
        self.wake();
    }

    /// Call after the commit of a seek, on the writer's thread.
    pub(super) fn announce_seek(&self, readied: Readied) {
        self.seeks.fetch_add(1, SeqCst);
        self.announce(readied);
    }

    /// Everything that was ready up to this change was taken.
    pub(super) fn took_all(&self, seen: u64) {
        self.taken.fetch_max(seen, SeqCst);
    }

    /// A lease begins that ends at this time. Consumers need no wake-up: each sees it when it next goes to sleep, but for
    /// those asleep with a later time in mind.
    pub(super) fn leased_until(&self, time: i64) {
        if self.due.fetch_min(time, SeqCst) > time {
            self.wake();
        }
    }

    /// The time of the earliest end of a lease or a wait, as the database has it. Call on the writer's thread, after the
    /// commit of the job that read it: what later jobs announce comes later.
    pub(super) fn set_due(&self, earliest: Option<i64>) {
        self.due.store(earliest.unwrap_or(i64::MAX), SeqCst);
    }

    pub(super) fn drop_unanswered(&self, dropped: Dropped) {
        self.dropped().push(dropped);
        self.wake();
    }

    pub(super) fn dropped_unanswered(&self) -> Vec<Dropped> {
        self.dropped().clone()
    }

    /// These are given back.
    pub(super) fn gave_back(&self, given_back: &[Dropped]) {
        let mut dropped = self.dropped();
        let kept = mem::take(&mut *dropped).into_iter().filter(|dropped| !given_back.contains(dropped)).collect();
        *dropped = kept;
    }

    fn dropped(&self) -> MutexGuard<'_, Vec<Dropped>> {
        self.dropped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// A message becomes ready at `at`. Call inside the job that makes it so.
    pub(super) fn readied(&self, at: i64, now: i64) -> Readied {
        if at > now { Readied::At(at) } else { Readied::Now(self.changes.fetch_add(1, SeqCst) + 1) }
    }

    /// All changes up to this one are visible to the job that calls it.
    pub(super) fn seen(&self) -> u64 {
        self.changes.load(SeqCst)
    }
}
