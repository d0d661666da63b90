//! How long it takes until what was interrupted goes on, as its subscribers see it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::findings::Findings;

/// A fault and the last text before it are told apart by the clock: text that was under way still arrives.
const UNDER_WAY: Duration = Duration::from_millis(300);
/// Longer than any reply pauses between two tokens on its own.
const PAUSE: Duration = Duration::from_millis(1_000);

/// How recovery is measured.
#[derive(Clone)]
pub enum Recovery {
    /// One server, which is ready since then: until the `reset` at a stream that was cut.
    Restart(watch::Receiver<Option<Instant>>),
    /// Several processes: from the fault itself until the next text.
    Faults(Arc<Timeline>),
}

/// Faults as they happen.
#[derive(Debug, Default)]
pub struct Timeline(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// What interrupts replies, and when it did.
    faults: Vec<(Instant, &'static str)>,
    /// Outages that are over, until somebody has succeeded.
    over: Vec<(Instant, Success, &'static str)>,
}

/// What shows that an outage is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Success {
    /// A message was accepted.
    Accepted,
    /// A reply came to its end.
    Completed,
}

impl Timeline {
    /// Notes a fault that interrupts replies.
    pub fn fault(&self, what: &'static str) {
        self.lock().faults.push((Instant::now(), what));
    }

    /// Notes the end of an outage, and what will show it.
    pub fn over(&self, success: Success, what: &'static str) {
        self.lock().over.push((Instant::now(), success, what));
    }

    fn succeeded(&self, success: Success, findings: &Findings) {
        self.lock().over.retain(|(since, awaited, what)| {
            if *awaited == success {
                findings.recovered(what, [since.elapsed().as_secs_f64() * 1e3]);
            }
            *awaited != success
        });
    }

    /// The fault that came right after the last text.
    fn blame(&self, last_text: Instant) -> Option<(Instant, &'static str)> {
        let inner = self.lock();
        let is_near = |at: Instant| at + UNDER_WAY >= last_text && at <= last_text + PAUSE;
        inner.faults.iter().find(|(at, _)| is_near(*at)).copied()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recovery {
    /// A message was accepted.
    pub fn accepted(&self, findings: &Findings) {
        self.succeeded(Success::Accepted, findings);
    }

    fn succeeded(&self, success: Success, findings: &Findings) {
        if let Self::Faults(timeline) = self {
            timeline.succeeded(success, findings);
        }
    }
}

/// What a subscriber has seen of one reply, as far as it tells of recovery.
pub(super) struct Watched {
    recovery: Recovery,
    /// The attempt whose stream was cut.
    cut_in: Option<u32>,
    last_text: Option<Instant>,
    /// When the text ended that a `reset` took back.
    taken_back: Option<Instant>,
}

impl Watched {
    pub(super) fn new(recovery: Recovery) -> Self {
        Self { recovery, cut_in: None, last_text: None, taken_back: None }
    }

    /// The connection was lost in this attempt.
    pub(super) fn cut(&mut self, attempt: u32) {
        self.cut_in = Some(attempt);
    }

    /// An event came.
    pub(super) fn saw(&mut self, event: &str, findings: &Findings) {
        let now = Instant::now();
        match event {
            "reset" => {
                self.taken_back = self.last_text.take();
                if let Recovery::Restart(ready_at) = &self.recovery
                    && self.cut_in.take().is_some_and(|attempt| attempt > 0)
                {
                    let waited = ready_at.borrow().map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
                    findings.recovered("from ready to `reset` at cut streams", [waited.as_secs_f64() * 1e3]);
                }
            }
            "delta" => {
                if let Recovery::Faults(timeline) = &self.recovery
                    && let Some(last_text) = self.taken_back.take()
                    && let Some((since, what)) = timeline.blame(last_text)
                {
                    findings.recovered(what, [now.saturating_duration_since(since).as_secs_f64() * 1e3]);
                }
                self.last_text = Some(now);
            }
            "done" => self.recovery.succeeded(Success::Completed, findings),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fault_right_after_the_last_text_is_blamed() {
        let timeline = Arc::new(Timeline::default());
        let findings = Findings::default();
        let mut watched = Watched::new(Recovery::Faults(Arc::clone(&timeline)));
        for event in ["status", "delta", "reset", "status", "delta"] {
            watched.saw(event, &findings);
        }
        assert!(findings.recovery_ms().is_empty(), "a reset without a fault, as after an error of the provider");
        timeline.fault("killed");
        for event in ["reset", "status", "delta", "delta"] {
            watched.saw(event, &findings);
        }
        assert_eq!(findings.recovery_ms()["killed"].len(), 1, "once, however much text follows");
        timeline.over(Success::Completed, "database");
        watched.saw("done", &findings);
        watched.saw("done", &findings);
        assert_eq!(findings.recovery_ms()["database"].len(), 1);
    }

    #[test]
    fn an_old_fault_is_not_blamed() {
        let timeline = Timeline::default();
        timeline.fault("killed");
        assert!(timeline.blame(Instant::now() + Duration::from_secs(2)).is_none());
        assert!(timeline.blame(Instant::now()).is_some());
    }
}
