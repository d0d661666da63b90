//! Circuits in memory: all that a single process needs, and what each of several goes by.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::{
    metrics::{LabelledGauge, Metrics},
    port::circuits::{Admission, CircuitPolicy, Circuits},
};

/// Circuits of one process.
#[derive(Debug)]
pub struct LocalCircuits {
    policy: CircuitPolicy,
    circuits: Mutex<HashMap<String, Circuit>>,
    open: LabelledGauge,
}

#[derive(Clone, Copy, Debug, Default)]
struct Circuit {
    /// In a row.
    failures: u32,
    /// Set: not closed.
    open_until: Option<Instant>,
}

impl LocalCircuits {
    /// All closed.
    pub fn new(policy: CircuitPolicy) -> Self {
        Self::measured(policy, &Metrics::new())
    }

    /// All closed; `metrics` say which ones are not.
    pub fn measured(policy: CircuitPolicy, metrics: &Metrics) -> Self {
        Self { policy, circuits: Mutex::default(), open: metrics.provider_circuit_open.clone() }
    }

    /// The policy they follow.
    pub fn policy(&self) -> CircuitPolicy {
        self.policy
    }

    /// As [`Circuits::admit`]; a probe is the caller's from now on.
    pub fn admit_now(&self, provider: &str) -> Admission {
        let mut all = self.lock();
        let Some(circuit) = all.get_mut(provider) else { return Admission::Closed };
        let Some(until) = circuit.open_until else { return Admission::Closed };
        let now = Instant::now();
        if now < until {
            return Admission::Open(until - now);
        }
        circuit.open_until = Some(now + self.policy.open_for);
        Admission::Probe
    }

    /// Counts a failure. For how long the circuit is open now, if this opened it or keeps it open.
    pub fn note_failure(&self, provider: &str) -> Option<Duration> {
        let mut all = self.lock();
        let circuit = all.entry(provider.to_owned()).or_default();
        circuit.failures = circuit.failures.saturating_add(1);
        if circuit.failures < self.policy.failures && circuit.open_until.is_none() {
            self.open.set(provider, 0);
            return None;
        }
        self.open.set(provider, 1);
        let was_closed = circuit.open_until.replace(Instant::now() + self.policy.open_for).is_none();
        if was_closed {
            warn!(llm.circuit = provider, failures = circuit.failures, "the provider fails: not asked for a while");
        }
        Some(self.policy.open_for)
    }

    /// The provider answered. Whether that closed its circuit.
    pub fn note_answer(&self, provider: &str) -> bool {
        let mut all = self.lock();
        let was_open = all.remove(provider).is_some_and(|circuit| circuit.open_until.is_some());
        self.open.set(provider, 0);
        drop(all);
        if was_open {
            info!(llm.circuit = provider, "the provider answers again");
        }
        was_open
    }

    /// For how long the circuit stays open; `None` when it is closed.
    pub fn open_for(&self, provider: &str) -> Option<Duration> {
        let until = self.lock().get(provider)?.open_until?;
        Some(until.saturating_duration_since(Instant::now()))
    }

    /// Another process says that the circuit is open for this long.
    pub fn learn_open(&self, provider: &str, left: Duration) {
        let mut all = self.lock();
        let circuit = all.entry(provider.to_owned()).or_default();
        circuit.failures = circuit.failures.max(self.policy.failures);
        self.open.set(provider, 1);
        if circuit.open_until.replace(Instant::now() + left).is_none() {
            info!(llm.circuit = provider, "another worker says that the provider fails: not asked for a while");
        }
    }

    /// Other processes know of no open circuit but those that `is_open` names.
    pub fn learn_closed(&self, is_open: impl Fn(&str) -> bool) {
        self.lock().retain(|provider, circuit| {
            let closed = circuit.open_until.is_some() && !is_open(provider);
            if closed {
                self.open.set(provider, 0);
                info!(llm.circuit = provider, "another worker says that the provider answers again");
            }
            !closed
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Circuit>> {
        // Whole after every statement.
        self.circuits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Circuits for LocalCircuits {
    async fn admit(&self, provider: &str) -> Admission {
        self.admit_now(provider)
    }

    fn failed(&self, provider: &str) {
        self.note_failure(provider);
    }

    fn answered(&self, provider: &str) {
        self.note_answer(provider);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: CircuitPolicy = CircuitPolicy { failures: 3, open_for: Duration::from_secs(30) };

    #[tokio::test(start_paused = true)]
    async fn it_opens_after_failures_in_a_row_and_lets_one_probe_through() {
        let circuits = LocalCircuits::new(POLICY);
        circuits.failed("a");
        circuits.failed("a");
        circuits.answered("a");
        circuits.failed("a");
        circuits.failed("a");
        assert_eq!(circuits.admit("a").await, Admission::Closed, "not in a row");
        circuits.failed("a");
        assert_eq!(circuits.admit("a").await, Admission::Open(POLICY.open_for));
        assert_eq!(circuits.admit("b").await, Admission::Closed, "each has its own");

        tokio::time::advance(POLICY.open_for).await;
        assert_eq!(circuits.admit("a").await, Admission::Probe);
        assert_eq!(circuits.admit("a").await, Admission::Open(POLICY.open_for), "one probe at a time");
        circuits.failed("a");
        tokio::time::advance(POLICY.open_for).await;
        assert_eq!(circuits.admit("a").await, Admission::Probe, "also after a probe that failed");
        circuits.answered("a");
        assert_eq!(circuits.admit("a").await, Admission::Closed);
        circuits.failed("a");
        assert_eq!(circuits.admit("a").await, Admission::Closed, "counted from the start again");
    }

    #[tokio::test(start_paused = true)]
    async fn metrics_say_which_are_open() {
        let metrics = Metrics::new();
        let circuits = LocalCircuits::measured(POLICY, &metrics);
        let open = |provider| metrics.provider_circuit_open.get(provider);
        circuits.failed("a");
        circuits.failed("a");
        assert_eq!(open("a"), 0);
        circuits.failed("a");
        circuits.answered("b");
        assert_eq!((open("a"), open("b")), (1, 0));
        tokio::time::advance(POLICY.open_for).await;
        assert_eq!((circuits.admit("a").await, open("a")), (Admission::Probe, 1), "until it answers");
        circuits.answered("a");
        assert_eq!(open("a"), 0);
        circuits.learn_open("a", POLICY.open_for);
        circuits.learn_open("b", POLICY.open_for);
        assert_eq!((open("a"), open("b")), (1, 1));
        circuits.learn_closed(|provider| provider == "b");
        assert_eq!((open("a"), open("b")), (0, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_nobody_reports_is_followed_by_another() {
        let circuits = LocalCircuits::new(POLICY);
        circuits.learn_open("a", Duration::ZERO);
        assert_eq!(circuits.admit("a").await, Admission::Probe);
        tokio::time::advance(POLICY.open_for).await;
        assert_eq!(circuits.admit("a").await, Admission::Probe);
    }
}
