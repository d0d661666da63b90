//! What was measured, as a whole and over time. It takes as much room after an hour as after a minute: when the slots are used up,
//! two become one, and each is twice as long.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    histogram::Histogram,
    trouble::{Refusal, Trouble},
};

/// Slots at most; an even number.
pub const MAX_SLOTS: usize = 120;
/// As long as a slot is at first.
const SLOT: Duration = Duration::from_secs(1);
/// Kinds of trouble that are counted apart.
const MAX_KINDS: usize = 40;
const OTHER: &str = "other";
/// A reply's speed is not known from less.
const AT_ONCE: Duration = Duration::from_millis(10);

/// What is measured of each message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// From the POST to its 202, or to the head of a chat completion: microseconds.
    Accept,
    /// From the POST to the first byte of its stream: microseconds.
    FirstByte,
    /// From the POST to the first text: microseconds.
    FirstToken,
    /// From the POST to the end of the reply: microseconds.
    Reply,
    /// Of one reply, from its first to its last token: thousandths of a token a second.
    TokensPerSecond,
}

impl Metric {
    /// All.
    pub const ALL: [Self; 5] = [Self::Accept, Self::FirstByte, Self::FirstToken, Self::Reply, Self::TokensPerSecond];
}

/// What happened, in a slot or in all.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    metrics: [Histogram; Metric::ALL.len()],
    /// Messages begun.
    pub sent: u64,
    /// Replies that came whole.
    pub replies: u64,
    /// Tokens of these replies.
    pub tokens: u64,
    /// Messages that got none.
    pub errors: u64,
    /// Calls that were answered with: not now.
    pub turned_away: u64,
    /// Streams that ended before the reply did, and were opened again.
    pub resumes: u64,
    /// POSTs that were sent again because nobody knows what became of the first.
    pub repeated: u64,
}

impl Tally {
    /// What was measured.
    pub fn of(&self, metric: Metric) -> &Histogram {
        &self.metrics[metric as usize]
    }

    fn merge(&mut self, other: &Self) {
        for (mine, others) in self.metrics.iter_mut().zip(&other.metrics) {
            mine.merge(others);
        }
        self.sent += other.sent;
        self.replies += other.replies;
        self.tokens += other.tokens;
        self.errors += other.errors;
        self.turned_away += other.turned_away;
        self.resumes += other.resumes;
        self.repeated += other.repeated;
    }
}

/// Everything at the end.
#[derive(Clone, Debug)]
pub struct Record {
    /// Of the whole test.
    pub all: Tally,
    /// One after the other, each `slot` long.
    pub slots: Vec<Tally>,
    /// How long a slot is.
    pub slot: Duration,
    /// How long the test took, with the replies that were waited for.
    pub took: Duration,
    /// Messages without a reply, by kind.
    pub errors: BTreeMap<String, u64>,
    /// Calls that were turned away, by kind.
    pub turned_away: BTreeMap<String, u64>,
    /// Messages given up when the test was interrupted.
    pub unfinished: u64,
    /// Sessions that could not be deleted.
    pub left_behind: u64,
}

pub(super) struct Recorder {
    began: Instant,
    record: Mutex<Record>,
}

impl Recorder {
    pub(super) fn start() -> Self {
        let record = Record {
            all: Tally::default(),
            slots: Vec::new(),
            slot: SLOT,
            took: Duration::ZERO,
            errors: BTreeMap::new(),
            turned_away: BTreeMap::new(),
            unfinished: 0,
            left_behind: 0,
        };
        Self { began: Instant::now(), record: Mutex::new(record) }
    }

    pub(super) fn sent(&self) {
        self.note(|tally| tally.sent += 1);
    }

    pub(super) fn measured(&self, metric: Metric, value: Duration) {
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        self.note(|tally| tally.metrics[metric as usize].add(micros));
    }

    /// A reply came whole. `since_first`: from its first text to its end.
    pub(super) fn replied(&self, took: Duration, since_first: Option<Duration>, tokens: u64) {
        self.measured(Metric::Reply, took);
        let seconds = since_first.unwrap_or_default().as_secs_f64();
        // The first one is what the time begins with, and what comes all at once has no speed.
        let speed = (tokens > 1 && seconds >= AT_ONCE.as_secs_f64()).then(|| (tokens - 1) as f64 / seconds * 1e3);
        self.note(|tally| {
            tally.replies += 1;
            tally.tokens += tokens;
            if let Some(speed) = speed {
                tally.metrics[Metric::TokensPerSecond as usize].add(speed as u64);
            }
        });
    }

    pub(super) fn failed(&self, trouble: &Trouble) {
        self.note(|tally| tally.errors += 1);
        count(&mut self.record().errors, trouble.kind().into_owned());
    }

    pub(super) fn turned_away(&self, refusal: &Refusal) {
        self.note(|tally| tally.turned_away += 1);
        count(&mut self.record().turned_away, refusal.kind());
    }

    pub(super) fn resumed(&self) {
        self.note(|tally| tally.resumes += 1);
    }

    pub(super) fn repeated(&self) {
        self.note(|tally| tally.repeated += 1);
    }

    pub(super) fn unfinished(&self) {
        self.record().unfinished += 1;
    }

    pub(super) fn left_behind(&self) {
        self.record().left_behind += 1;
    }

    /// What there is.
    pub(super) fn take(&self) -> Record {
        let mut record = self.record().clone();
        record.took = self.began.elapsed();
        record
    }

    fn note(&self, what: impl Fn(&mut Tally)) {
        let at = self.began.elapsed();
        let mut record = self.record();
        what(&mut record.all);
        what(record.slot_at(at));
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    fn slot_at(&mut self, at: Duration) -> &mut Tally {
        while self.slot * MAX_SLOTS as u32 <= at {
            for n in 0..self.slots.len().div_ceil(2) {
                let mut pair = std::mem::take(&mut self.slots[2 * n]);
                if let Some(second) = self.slots.get(2 * n + 1) {
                    pair.merge(second);
                }
                self.slots[n] = pair;
            }
            self.slots.truncate(self.slots.len().div_ceil(2));
            self.slot *= 2;
        }
        let index = (at.as_nanos() / self.slot.as_nanos()) as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, Tally::default);
        }
        &mut self.slots[index]
    }
}

fn count(kinds: &mut BTreeMap<String, u64>, kind: String) {
    let kind = if kinds.len() < MAX_KINDS || kinds.contains_key(&kind) { kind } else { OTHER.to_owned() };
    *kinds.entry(kind).or_default() += 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_take_no_more_room_than_minutes_and_nothing_is_lost() {
        let recorder = Recorder::start();
        let mut record = recorder.take();
        for second in 0..10_000 {
            let slot = record.slot_at(Duration::from_secs(second));
            slot.sent += 1;
            slot.metrics[Metric::Accept as usize].add(second);
        }
        assert!(record.slots.len() <= MAX_SLOTS);
        assert_eq!(record.slot, Duration::from_secs(128));
        assert_eq!(record.slots.iter().map(|slot| slot.sent).sum::<u64>(), 10_000);
        for (n, slot) in record.slots.iter().enumerate() {
            let (from, to) = (n as u64 * 128, (n as u64 * 128 + 127).min(9_999));
            assert_eq!((slot.of(Metric::Accept).least(), slot.of(Metric::Accept).most()), (Some(from), Some(to)));
        }
    }

    #[test]
    fn kinds_that_a_server_makes_up_are_not_kept_without_end() {
        let recorder = Recorder::start();
        for n in 0..1_000 {
            recorder.failed(&Trouble::Failed(format!("code{n}")));
        }
        let record = recorder.take();
        assert!(record.errors.len() <= MAX_KINDS + 1);
        assert_eq!((record.errors.values().sum::<u64>(), record.all.errors), (1_000, 1_000));
    }

    #[test]
    fn a_reply_is_as_fast_as_its_tokens_after_the_first() {
        let recorder = Recorder::start();
        recorder.replied(Duration::from_secs(3), Some(Duration::from_secs(2)), 21);
        recorder.replied(Duration::from_secs(1), None, 1);
        recorder.replied(Duration::from_secs(1), Some(Duration::from_millis(1)), 8);
        let all = recorder.take().all;
        assert_eq!((all.replies, all.tokens), (3, 30));
        let speed = all.of(Metric::TokensPerSecond);
        assert_eq!((speed.count(), speed.most()), (1, Some(10_000)));
    }
}
