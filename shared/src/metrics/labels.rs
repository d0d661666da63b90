//! Counters and gauges by one label.

use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};

type Label = [(&'static str, String); 1];

/// Counters by one label.
#[derive(Debug)]
pub struct LabelledCounter {
    label: &'static str,
    pub(super) family: Family<Label, Counter>,
}

impl LabelledCounter {
    pub(super) fn new(label: &'static str) -> Self {
        Self { label, family: Family::default() }
    }

    /// Counts one for this value of the label. Values come from fixed sets only, so the family stays small.
    pub fn inc(&self, value: &str) {
        self.inc_by(value, 1);
    }

    /// Counts `n` for this value of the label.
    pub fn inc_by(&self, value: &str, n: u64) {
        self.family.get_or_create(&[(self.label, value.to_owned())]).inc_by(n);
    }

    /// The count so far.
    pub fn get(&self, value: &str) -> u64 {
        self.family.get_or_create(&[(self.label, value.to_owned())]).get()
    }
}

/// Gauges by one label. Clones are the same gauges.
#[derive(Clone, Debug)]
pub struct LabelledGauge {
    label: &'static str,
    pub(super) family: Family<Label, Gauge>,
}

impl LabelledGauge {
    pub(super) fn new(label: &'static str) -> Self {
        Self { label, family: Family::default() }
    }

    /// Sets it for this value of the label. Values come from the settings only, so the family stays small.
    pub fn set(&self, value: &str, to: i64) {
        self.family.get_or_create(&[(self.label, value.to_owned())]).set(to);
    }

    /// What was set last.
    pub fn get(&self, value: &str) -> i64 {
        self.family.get_or_create(&[(self.label, value.to_owned())]).get()
    }
}
