//! What a process counts and measures, in Prometheus' text format. `docs/metrics.md` lists it; a test holds it against that.

mod http;
mod labels;
mod llm;
#[cfg(test)]
mod tests;

use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    encoding::text::encode,
    metrics::{
        counter::Counter,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

pub use self::{
    http::{HttpMetrics, class_of},
    labels::{LabelledCounter, LabelledGauge},
    llm::LlmMetrics,
};

/// The smallest of some durations, for whoever watches whether even the quickest have to wait.
#[derive(Debug)]
pub struct Quickest {
    micros: AtomicU64,
    count: AtomicU32,
}

impl Default for Quickest {
    fn default() -> Self {
        Self { micros: AtomicU64::new(u64::MAX), count: AtomicU32::new(0) }
    }
}

impl Quickest {
    /// Adds a duration.
    pub fn note(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_min(micros, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// The smallest since this was last asked for, if there were so many; to be asked by one alone.
    pub fn take(&self, fewest: u32) -> Option<Duration> {
        if self.count.load(Ordering::Relaxed) < fewest {
            return None;
        }
        self.count.store(0, Ordering::Relaxed);
        Some(Duration::from_micros(self.micros.swap(u64::MAX, Ordering::Relaxed)))
    }

    /// Begins anew.
    pub fn forget(&self) {
        self.take(0);
    }
}

/// A histogram of durations, in seconds.
#[derive(Clone, Debug)]
pub struct Seconds(Histogram, Arc<Quickest>);

impl Seconds {
    fn new() -> Self {
        // 0.25 ms to about 2 min.
        Self(Histogram::new(exponential_buckets(0.000_25, 2.0, 20)), Arc::default())
    }

    /// Adds one duration.
    pub fn observe(&self, duration: Duration) {
        self.0.observe(duration.as_secs_f64());
        self.1.note(duration);
    }

    /// The smallest of late.
    pub fn quickest(&self) -> &Quickest {
        &self.1
    }

    /// Adds one duration given in milliseconds; negative ones (clocks that disagree) count as 0.
    pub fn observe_millis(&self, millis: i64) {
        self.observe(Duration::from_millis(u64::try_from(millis).unwrap_or_default()));
    }
}

/// All metrics of a process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Messages accepted with a 202.
    pub accepted: Counter,
    /// From a complete request to its 202.
    pub accept_latency: Seconds,
    /// From acceptance to the first attempt.
    pub queue_delay: Seconds,
    /// From acceptance to the first token.
    pub time_to_first_token: Seconds,
    /// Tokens by direction (`input`, `output`, `cached`).
    pub tokens: LabelledCounter,
    /// Pieces of text that providers sent.
    pub deltas: Counter,
    /// Tasks by how they ended.
    pub tasks_ended: LabelledCounter,
    /// Attempts given up and tried again, by code.
    pub attempts_retried: LabelledCounter,
    /// Messages answered with a retry, by subscription.
    pub bus_retries: LabelledCounter,
    /// Messages dead-lettered, by subscription.
    pub dead_letters: LabelledCounter,
    /// From an event's publication to its commit in the store.
    pub persist_lag: Seconds,
    /// Streams open right now.
    pub live_subscribers: Gauge,
    /// Tasks being answered right now.
    pub active_tasks: Gauge,
    /// Sessions deleted because nothing had happened in them for `RETENTION_DAYS`.
    pub sessions_expired: Counter,
    /// Deliveries of webhooks by outcome: `delivered`, `retried`, `gone`, `refused`, `expired`, `erased`, `unsigned`.
    pub webhooks: LabelledCounter,
    /// From a task's end to the delivery of its webhook.
    pub webhook_delay: Seconds,
    /// Calls refused by a limit, or for load, by the problem's code.
    pub calls_refused: LabelledCounter,
    /// HTTP responses by status class (`2xx`, …).
    pub http_responses: LabelledCounter,
    /// Answers by method, route and status class, and how long they took.
    pub http: HttpMetrics,
    /// Failed tasks by their error's code.
    pub tasks_failed: LabelledCounter,
    /// Requests to providers, their errors and first tokens.
    pub llm: LlmMetrics,
    /// Messages on the embedded bus, by subscription.
    pub bus_waiting: LabelledGauge,
    /// The age of the oldest of them, in seconds.
    pub bus_oldest_waiting: LabelledGauge,
    /// Dead letters on the embedded bus.
    pub bus_dead_letters: LabelledGauge,
    /// Spans by what became of them: `exported`, `dropped`, `failed`.
    pub trace_spans: LabelledCounter,
    /// 1 while a provider is not asked because it failed too often in a row, as far as this process knows; else 0.
    pub provider_circuit_open: LabelledGauge,
    /// Requests to providers that the reply cache saw: answered by it (`hit`), by another one under way (`joined`), or
    /// asked (`miss`).
    pub reply_cache_requests: LabelledCounter,
}

impl Metrics {
    /// All metrics at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("parlance");
        let accepted = Counter::default();
        let deltas = Counter::default();
        let sessions_expired = Counter::default();
        let live_subscribers = Gauge::default();
        let active_tasks = Gauge::default();
        registry.register("accepted_messages", "Messages accepted with a 202", accepted.clone());
        registry.register("reply_deltas", "Pieces of text received from providers", deltas.clone());
        registry.register("sessions_expired", "Sessions deleted by age", sessions_expired.clone());
        registry.register("live_subscribers", "Open event streams", live_subscribers.clone());
        registry.register("active_tasks", "Tasks being answered", active_tasks.clone());
        let mut counter = |name: &str, help: &str, label| {
            let counter = LabelledCounter::new(label);
            registry.register(name, help, counter.family.clone());
            counter
        };
        let tokens = counter("tokens", "Tokens counted by providers", "direction");
        let tasks_ended = counter("tasks_ended", "Tasks by how they ended", "status");
        let attempts_retried = counter("attempts_retried", "Attempts given up and tried again", "code");
        let bus_retries = counter("bus_retries", "Messages answered with a retry", "subscription");
        let dead_letters = counter("dead_letters", "Messages dead-lettered", "subscription");
        let reply_cache_requests = counter("reply_cache_requests", "Requests seen by the reply cache", "outcome");
        let calls_refused = counter("calls_refused", "Calls refused by a limit or for load", "code");
        let webhooks = counter("webhooks", "Deliveries of webhooks", "outcome");
        let http_responses = counter("http_responses", "HTTP responses", "class");
        let tasks_failed = counter("tasks_failed", "Failed tasks by code", "code");
        let trace_spans = counter("trace_spans", "Spans by what became of them", "outcome");
        let mut gauge = |name: &str, help: &str, label| {
            let gauge = LabelledGauge::new(label);
            registry.register(name, help, gauge.family.clone());
            gauge
        };
        let provider_circuit_open =
            gauge("provider_circuit_open", "Whether a provider is not asked for a while", "provider");
        let bus_waiting = gauge("bus_waiting_messages", "Messages on the embedded bus", "subscription");
        let bus_dead_letters = gauge("bus_dead_letters_held", "Dead letters on the embedded bus", "subscription");
        let bus_oldest_waiting = LabelledGauge::new("subscription");
        let help = "Age of the oldest message on the embedded bus";
        registry.register_with_unit("bus_oldest_waiting", help, Unit::Seconds, bus_oldest_waiting.family.clone());
        let http = HttpMetrics::register(&mut registry);
        let llm = LlmMetrics::register(&mut registry);
        let mut seconds = |name: &str, help: &str| {
            let histogram = Seconds::new();
            registry.register_with_unit(name, help, Unit::Seconds, histogram.0.clone());
            histogram
        };
        let accept_latency = seconds("accept_latency", "From a complete request to its 202");
        let queue_delay = seconds("queue_delay", "From acceptance to the first attempt");
        let time_to_first_token = seconds("time_to_first_token", "From acceptance to the first token");
        let persist_lag = seconds("persist_lag", "From an event's publication to its commit in the store");
        let webhook_delay = seconds("webhook_delay", "From a task's end to the delivery of its webhook");
        Self {
            registry,
            accepted,
            accept_latency,
            queue_delay,
            time_to_first_token,
            tokens,
            deltas,
            sessions_expired,
            tasks_ended,
            attempts_retried,
            bus_retries,
            dead_letters,
            persist_lag,
            live_subscribers,
            active_tasks,
            webhooks,
            webhook_delay,
            calls_refused,
            http_responses,
            http,
            tasks_failed,
            llm,
            bus_waiting,
            bus_oldest_waiting,
            bus_dead_letters,
            trace_spans,
            provider_circuit_open,
            reply_cache_requests,
        }
    }

    /// The text that Prometheus scrapes (OpenMetrics 1.0).
    pub fn render(&self) -> String {
        let mut text = String::new();
        if let Err(error) = encode(&mut text, &self.registry) {
            let _ = writeln!(text, "# {error}");
        }
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
