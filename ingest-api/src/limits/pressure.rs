//! Load beyond what the process can do: new work is turned away early and evenly, so that what was let in is done in time.
//!
//! The signal is how long work waits for its turn: for the process' threads, or for one of the parts that answer one after
//! the other, whichever is worse. As in CoDel, the smallest wait within an interval counts: a burst passes, a standing queue
//! does not. As in PIE (RFC 8033), the wait and its distance from what is wanted move the share that is turned away; it is
//! spread evenly, not at random, over all calls and thus over all callers.
//!
//! What begins new work goes first; only where that was not enough for a while do other calls follow, for they end what was
//! begun. Probes of health always pass.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use parlance_shared::{
    Lifecycle,
    metrics::{Metrics, Quickest},
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use tracing::debug;

use super::part::Part;

/// How often the wait is measured.
const PROBE: Duration = Duration::from_millis(5);
/// How often the share is adapted, while the wait lets it.
const INTERVAL: Duration = Duration::from_millis(50);
/// Without a call for this long, nothing is measured until one comes.
const QUIET: u32 = 40;

/// A share of one, as it is stored.
const ONE: u32 = 1 << 16;
/// Of new work, some is always let in: what comes of it says how things are.
const MOST: f64 = 0.98;
/// A controller of two terms, in doublings of the wait: what it is now, and what it has been. The second one comes down
/// quicker than it goes up, for when nobody waits, more is turned away than need be.
const NOW: f64 = 0.12;
const TOO_LONG: f64 = 0.01;
const TOO_SHORT: f64 = 0.03;
/// Waits of more than this many doublings say no more.
const FARTHEST: f64 = 6.0;
/// When new work has been kept out for so many intervals and work still waits, other calls are turned away as well.
const PATIENCE: u32 = 20;
const OTHERS_STEP: f64 = 0.05;
const OTHERS_STAY: f64 = 0.90;

/// How much is turned away at the moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pressure(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    new_work: Turned,
    others: Turned,
    /// Looking up where a task stands, and putting a message on the bus.
    lookups: Quickest,
    publishing: Quickest,
    called: AtomicBool,
    wake: Notify,
}

/// The share of some calls that is turned away, and what it has come to: each call adds the share to a debt, and whoever
/// makes it whole pays it.
#[derive(Debug, Default)]
struct Turned {
    share: AtomicU32,
    debt: AtomicU32,
}

impl Turned {
    fn set(&self, share: f64) {
        self.share.store((share * f64::from(ONE)) as u32, Ordering::Relaxed);
    }

    fn lets_in(&self) -> bool {
        let share = self.share.load(Ordering::Relaxed);
        if share == 0 {
            return true;
        }
        let before = self.debt.fetch_add(share, Ordering::Relaxed);
        before / ONE == before.wrapping_add(share) / ONE
    }
}

/// What a call is for the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It begins something that will cost more than itself.
    NewWork,
    /// It reads, follows or ends what was begun.
    Other,
}

impl Pressure {
    /// Whether a call is let in.
    pub(crate) fn lets_in(&self, kind: Kind) -> bool {
        if !self.0.called.swap(true, Ordering::Relaxed) {
            self.0.wake.notify_one();
        }
        match kind {
            Kind::NewWork => self.0.new_work.lets_in(),
            Kind::Other => self.0.others.lets_in(),
        }
    }

    /// A task was looked up in this time.
    pub(crate) fn looked_up(&self, after: Duration) {
        self.0.lookups.note(after);
    }

    /// A message was put on the bus in this time.
    pub(crate) fn published(&self, after: Duration) {
        self.0.publishing.note(after);
    }

    /// Adapts the share until the process stops.
    pub(crate) async fn watch(self, target: Duration, metrics: Arc<Metrics>, lifecycle: Lifecycle) {
        let stopping = lifecycle.stopping().clone().cancelled_owned();
        tokio::select! {
            () = stopping => {}
            () = self.adapt(target, &metrics) => {}
        }
    }

    async fn adapt(&self, target: Duration, metrics: &Metrics) {
        let mut control = Control::new(target);
        let (mut parts, mut quiet) = ([Part::default(), Part::default(), Part::default()], 0);
        loop {
            if quiet >= QUIET {
                self.0.wake.notified().await;
                (quiet, control) = (0, Control::new(target));
            }
            let turn = smallest_wait().await;
            let lookups = parts[0].late(&self.0.lookups);
            let publishing = parts[1].late(&self.0.publishing);
            // Only where the worker is in this process; elsewhere the bus holds what waits, and more workers come.
            let worker = parts[2].late(metrics.queue_delay.quickest());
            let share = control.step(turn.max(lookups).max(publishing).max(worker));
            self.0.new_work.set(share);
            self.0.others.set(control.others);
            if share > 0.0 {
                debug!(wait.turn = ?turn, wait.lookups = ?lookups, wait.publishing = ?publishing, wait.worker = ?worker, share, "work waits");
            }
            quiet = if self.0.called.swap(false, Ordering::Relaxed) || control.share > 0.0 { 0 } else { quiet + 1 };
        }
    }
}

/// The smallest wait of an interval.
async fn smallest_wait() -> Duration {
    let ends = Instant::now() + INTERVAL;
    let mut smallest = Duration::MAX;
    while Instant::now() < ends {
        let due = Instant::now() + PROBE;
        sleep_until(due).await;
        smallest = smallest.min(due.elapsed());
    }
    smallest
}

/// The controller, apart from the clock.
#[derive(Debug)]
struct Control {
    target: f64,
    /// What the waits so far have come to.
    sum: f64,
    share: f64,
    others: f64,
    /// Intervals for which as much as can be was turned away and work waited all the same.
    kept_out: u32,
}

impl Control {
    fn new(target: Duration) -> Self {
        Self { target: target.as_secs_f64(), sum: 0.0, share: 0.0, others: 0.0, kept_out: 0 }
    }

    /// The share of new work after an interval with this wait.
    fn step(&mut self, wait: Duration) -> f64 {
        let wait = (1.0 + wait.as_secs_f64() / self.target).log2().min(FARTHEST);
        let distance = wait - 1.0;
        let gain = if distance > 0.0 { TOO_LONG } else { TOO_SHORT };
        self.sum = (self.sum + gain * distance).clamp(0.0, MOST);
        // A short wait is none: without load nothing is turned away.
        let now = if self.sum > 0.0 || distance > 0.0 { NOW * wait } else { 0.0 };
        self.share = (self.sum + now).min(MOST);
        let in_vain = self.share >= MOST && distance > 0.0;
        self.kept_out = if in_vain { self.kept_out.saturating_add(1) } else { 0 };
        self.others =
            if self.kept_out > PATIENCE { (self.others + OTHERS_STEP).min(MOST) } else { self.others * OTHERS_STAY };
        if self.others < 0.01 {
            self.others = 0.0;
        }
        self.share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_millis(20);

    /// A machine that can do `capacity` calls an interval, offered `load` of them.
    fn settle(load: f64, capacity: f64) -> (f64, f64) {
        let (mut control, mut queue, mut done) = (Control::new(TARGET), 0.0_f64, 0.0);
        let mut share = 0.0;
        for interval in 0..1_000 {
            queue += load * (1.0 - share);
            let served = queue.min(capacity);
            queue -= served;
            if interval >= 500 {
                done += served;
            }
            share = control.step(INTERVAL.mul_f64(queue / capacity));
        }
        (done / 500.0 / capacity, queue / capacity * INTERVAL.as_secs_f64() * 1e3)
    }

    #[test]
    fn below_capacity_nothing_is_turned_away() {
        let mut control = Control::new(TARGET);
        for wait in [1, 3, 12, 2, 19, 1] {
            control.step(Duration::from_millis(wait));
        }
        assert!(control.share < 0.2, "a burst passes: {}", control.share);
        for _ in 0..40 {
            control.step(Duration::from_millis(1));
        }
        assert_eq!(control.share, 0.0);
        let (goodput, wait) = settle(80.0, 100.0);
        assert!((goodput - 0.8).abs() < 0.001 && wait < 1.0, "{goodput} {wait}");
    }

    #[test]
    fn beyond_capacity_work_goes_on_and_waits_stay_short() {
        for (load, longest) in [(110.0, 45.0), (150.0, 45.0), (300.0, 45.0), (1_000.0, 90.0)] {
            let (goodput, wait) = settle(load, 100.0);
            assert!(goodput > 0.95 && wait < longest, "{load}: {goodput}, {wait} ms");
        }
    }

    #[test]
    fn a_share_is_spread_evenly_and_new_work_goes_first() {
        let pressure = Pressure::default();
        let count = |kind| (0..100).filter(|_| pressure.lets_in(kind)).count();
        assert_eq!((count(Kind::NewWork), count(Kind::Other)), (100, 100));
        pressure.0.new_work.set(0.75);
        for _ in 0..10 {
            let let_in = (0..4).filter(|_| pressure.lets_in(Kind::NewWork)).count();
            assert_eq!(let_in, 1);
        }
        assert_eq!(count(Kind::Other), 100);
        pressure.0.others.set(0.5);
        assert!((49..=51).contains(&count(Kind::Other)));
    }

    #[test]
    fn others_are_turned_away_only_when_keeping_new_work_out_was_in_vain() {
        let mut control = Control::new(TARGET);
        let late = Duration::from_millis(200);
        for _ in 0..PATIENCE + 5 {
            control.step(late);
            assert_eq!(control.others, 0.0);
        }
        for _ in 0..30 {
            control.step(late);
        }
        assert!(control.others > 0.5, "{}", control.others);
        for _ in 0..60 {
            control.step(Duration::ZERO);
        }
        assert_eq!((control.share < 0.01, control.others), (true, 0.0));
    }
}
