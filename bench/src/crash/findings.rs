//! What was seen that must not be.

use std::{
    collections::BTreeMap,
    fmt,
    io::Write as _,
    sync::{Mutex, PoisonError},
};

/// A promise that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flaw {
    /// An accepted message, its reply or a part of it is not there.
    Lost,
    /// Something appears twice.
    Doubled,
    /// Text of two attempts, or of two tasks, stands together.
    Mixed,
    /// Text is missing between two events.
    Gap,
    /// A task did not end in time.
    Hanging,
    /// A 404 for what was accepted.
    NotFound,
    /// Two views of one task differ.
    Disagreement,
    /// A task ended otherwise than it had to.
    WrongEnd,
    /// Turns are not in the order in which they were accepted.
    Misordered,
    /// A reply was asked for without the turns before it.
    Forgotten,
    /// The LLM was asked more often than the task has attempts.
    Charged,
    /// A message that nobody has acknowledged when all is said and done.
    Unanswered,
    /// A process ended although nobody killed it.
    Died,
    /// An answer that the API does not have.
    BadAnswer,
}

impl Flaw {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 14] = [
        Self::Lost,
        Self::Doubled,
        Self::Mixed,
        Self::Gap,
        Self::Hanging,
        Self::NotFound,
        Self::Disagreement,
        Self::WrongEnd,
        Self::Misordered,
        Self::Forgotten,
        Self::Charged,
        Self::Unanswered,
        Self::Died,
        Self::BadAnswer,
    ];
}

/// One broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub flaw: Flaw,
    /// Where and how.
    pub what: String,
}

impl Finding {
    /// A broken promise.
    pub fn new(flaw: Flaw, what: impl Into<String>) -> Self {
        Self { flaw, what: what.into() }
    }

    /// The same, saying where.
    #[must_use]
    pub fn at(self, place: impl fmt::Display) -> Self {
        Self { flaw: self.flaw, what: format!("{place}: {}", self.what) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.flaw, self.what)
    }
}

/// All that was found, and how often what was done.
#[derive(Debug, Default)]
pub struct Findings {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    findings: Vec<Finding>,
    counts: BTreeMap<String, u64>,
    recovery_ms: BTreeMap<&'static str, Vec<f64>>,
}

impl Findings {
    /// Notes a broken promise, and says so at once: the logs of that moment are still short.
    pub fn add(&self, finding: Finding) {
        let _ = writeln!(std::io::stderr(), "found: {finding}");
        self.lock().findings.push(finding);
    }

    /// Notes that something was done once more.
    pub fn count(&self, what: impl Into<String>) {
        *self.lock().counts.entry(what.into()).or_default() += 1;
    }

    /// Notes how long it took until something went on.
    pub fn recovered(&self, what: &'static str, milliseconds: impl IntoIterator<Item = f64>) {
        self.lock().recovery_ms.entry(what).or_default().extend(milliseconds);
    }

    /// What was found.
    pub fn findings(&self) -> Vec<Finding> {
        self.lock().findings.clone()
    }

    /// What was done how often.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.lock().counts.clone()
    }

    /// How often this was done.
    pub fn count_of(&self, what: &str) -> u64 {
        self.lock().counts.get(what).copied().unwrap_or_default()
    }

    /// All recovery times, in milliseconds.
    pub fn recovery_ms(&self) -> BTreeMap<&'static str, Vec<f64>> {
        self.lock().recovery_ms.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
