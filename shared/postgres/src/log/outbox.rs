//! What waits for the next flush: facts, replies with new text, replies whose text is to be stored. Bounded: who would
//! append beyond the bound waits, and with it the provider's stream.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, futures::Notified, watch},
    time::Instant,
};

use super::{
    facts::Fact,
    segment::SegmentBuilder,
    stream::{Stream, Unstored},
};

/// Text of one reply that may wait for a flush. Then its provider waits.
const MOST_UNSENT_OF_ONE: usize = 64 * 1024;
/// Text of all replies of the process that may.
const MOST_UNSENT: usize = 8 * 1024 * 1024;
/// The size at which a segment goes off, and what is left goes with the next.
const SEGMENT: usize = 1024 * 1024;
/// What one flush stores for resume at the most; what is left is stored by the next.
const ROWS: usize = 4 * 1024 * 1024;
/// Also what is urgent waits so long after the flush before, so that a rush of it is one flush.
const URGENT_AFTER: Duration = Duration::from_millis(2);

/// Shared by the writers of a process and its flusher.
#[derive(Debug)]
pub(crate) struct Outbox {
    inner: Mutex<Inner>,
    unsent: AtomicUsize,
    /// The flusher has something new to consider.
    wake: Notify,
    /// Something was flushed.
    room: Notify,
    facts_told: watch::Sender<u64>,
    /// The flusher has ended.
    closed: AtomicBool,
}

#[derive(Debug, Default)]
struct Inner {
    facts: VecDeque<Fact>,
    facts_taken_in: u64,
    facts_handed_out: u64,
    listed: Vec<Arc<Stream>>,
    /// In the order of their instants, but for those that are to be stored at once.
    queued: VecDeque<(Instant, Arc<Stream>)>,
    is_urgent: bool,
}

/// What one flush takes along.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) segment: SegmentBuilder,
    pub(super) rows: Vec<(Arc<Stream>, Unstored)>,
    /// There was something in it.
    pub(super) was_written: bool,
    facts: Vec<Fact>,
    facts_upto: u64,
    sent: Vec<(Arc<Stream>, usize)>,
}

impl Outbox {
    pub(crate) fn new() -> Self {
        Self {
            inner: Mutex::default(),
            unsent: AtomicUsize::new(0),
            wake: Notify::new(),
            room: Notify::new(),
            facts_told: watch::Sender::new(0),
            closed: AtomicBool::new(false),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells a fact with the next flush, which follows at once. Gives its number for [`Outbox::told`].
    pub(crate) fn tell(&self, fact: Fact) -> u64 {
        let mut inner = self.inner();
        inner.facts.push_back(fact);
        inner.facts_taken_in += 1;
        let number = inner.facts_taken_in;
        drop(inner);
        self.wake.notify_one();
        number
    }

    /// Waits until the fact of this number, and all before it, were committed; not for ever, and in vain once the flusher
    /// has ended.
    pub(crate) async fn told(&self, number: u64, patience: Duration) -> bool {
        let mut told = self.facts_told.subscribe();
        let telling = told.wait_for(|told| *told >= number);
        !self.is_closed() && tokio::time::timeout(patience, telling).await.is_ok()
    }

    /// Nothing is flushed any more. What a turn says that was about to begin when the process was told to stop is stored
    /// by its end, or when it is handed back.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.room.notify_waiters();
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether more of a reply may wait for a flush, of which so much does already.
    pub(super) fn has_room(&self, unsent: usize, more: usize) -> bool {
        let is_full =
            (unsent > 0 && unsent + more > MOST_UNSENT_OF_ONE) || self.unsent.load(Ordering::Relaxed) >= MOST_UNSENT;
        !is_full || self.is_closed()
    }

    /// Somebody waits for room.
    pub(super) fn hurry(&self) {
        if !std::mem::replace(&mut self.inner().is_urgent, true) {
            self.wake.notify_one();
        }
    }

    pub(super) fn room(&self) -> Notified<'_> {
        self.room.notified()
    }

    pub(super) fn waits(&self, bytes: usize) {
        self.unsent.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn gone(&self, bytes: usize) {
        self.unsent.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn list(&self, stream: Arc<Stream>, is_urgent: bool) {
        let mut inner = self.inner();
        inner.listed.push(stream);
        let news = inner.listed.len() == 1 || (is_urgent && !inner.is_urgent);
        inner.is_urgent |= is_urgent;
        drop(inner);
        if news {
            self.wake.notify_one();
        }
    }

    pub(super) fn queue(&self, stream: Arc<Stream>, at: Instant) {
        self.inner().queued.push_back((at, stream));
    }

    pub(super) fn queue_first(&self, stream: Arc<Stream>) {
        self.inner().queued.push_front((Instant::now(), stream));
    }

    /// Fires when [`Outbox::due`] may have changed.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.wake.notified()
    }

    /// When the next flush is due, if nothing changes; `None` when there is nothing to do.
    pub(super) fn due(&self, latest: Instant, every: Duration) -> Option<Instant> {
        let inner = self.inner();
        if inner.is_urgent || !inner.facts.is_empty() {
            return Some(latest + URGENT_AFTER);
        }
        if !inner.listed.is_empty() {
            return Some(latest + every);
        }
        inner.queued.front().map(|(at, _)| (*at).max(latest + every))
    }

    /// Takes what is to be flushed now.
    pub(super) fn take(&self, now: Instant) -> Batch {
        let mut batch = Batch::default();
        let (listed, due) = {
            let mut inner = self.inner();
            inner.is_urgent = false;
            batch.facts = inner.facts.drain(..).collect();
            inner.facts_handed_out += batch.facts.len() as u64;
            batch.facts_upto = inner.facts_handed_out;
            let due = inner.queued.partition_point(|(at, _)| *at <= now);
            let due: Vec<_> = inner.queued.drain(..due).collect();
            (std::mem::take(&mut inner.listed), due)
        };
        batch.facts.iter().for_each(|fact| fact.write(&mut batch.segment));
        self.take_text(&mut batch, listed);
        self.take_rows(&mut batch, due);
        batch
    }

    fn take_text(&self, batch: &mut Batch, listed: Vec<Arc<Stream>>) {
        let mut listed = listed.into_iter();
        for stream in listed.by_ref() {
            let most = SEGMENT.saturating_sub(batch.segment.len());
            let upto = stream.send(most, |start, piece| batch.segment.push_text(&stream, start, piece));
            batch.sent.extend(upto.map(|upto| (stream, upto)));
            if batch.segment.len() >= SEGMENT {
                break;
            }
        }
        let left: Vec<_> = listed.collect();
        if !left.is_empty() {
            let mut inner = self.inner();
            inner.listed.extend(left);
            inner.is_urgent = true;
        }
    }

    fn take_rows(&self, batch: &mut Batch, due: Vec<(Instant, Arc<Stream>)>) {
        let (mut bytes, mut left) = (0, Vec::new());
        for (at, stream) in due {
            if bytes >= ROWS {
                left.push((at, stream));
            } else if let Some(unstored) = stream.unqueue() {
                bytes += unstored.text.len();
                batch.rows.push((stream, unstored));
            }
        }
        let mut inner = self.inner();
        left.into_iter().rev().for_each(|entry| inner.queued.push_front(entry));
    }

    /// The batch was committed.
    pub(super) fn done(&self, batch: &Batch) {
        for (stream, upto) in &batch.sent {
            stream.was_sent(*upto, self);
        }
        self.facts_told.send_if_modified(|told| std::mem::replace(told, batch.facts_upto) != batch.facts_upto);
        self.room.notify_waiters();
    }

    /// The batch was perhaps not committed: it goes again.
    pub(super) fn put_back(&self, mut batch: Batch) {
        for (stream, _) in &batch.sent {
            stream.send_again(self);
        }
        for (stream, _) in &batch.rows {
            stream.store_again(self);
        }
        let mut inner = self.inner();
        inner.facts_handed_out -= batch.facts.len() as u64;
        batch.facts.drain(..).rev().for_each(|fact| inner.facts.push_front(fact));
    }
}
