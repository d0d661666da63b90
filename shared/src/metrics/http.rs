//! Answers to HTTP calls: how many, and how long to their first byte.

use std::time::Duration;

use prometheus_client::{
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

type Answer = [(&'static str, String); 3];
type Route = [(&'static str, String); 1];

/// Methods have names of the client's choice; those that no route takes are counted together.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Answers by method, route and class of status.
#[derive(Debug)]
pub struct HttpMetrics {
    answers: Family<Answer, Counter>,
    durations: Family<Route, Histogram, Buckets>,
}

#[derive(Clone, Copy, Debug)]
struct Buckets;

impl MetricConstructor<Histogram> for Buckets {
    /// 1 ms to about 65 s, the longest of a long-poll; fewer steps than elsewhere, as each route has all of them.
    fn new_metric(&self) -> Histogram {
        Histogram::new(exponential_buckets(0.001, 2.0, 17))
    }
}

impl HttpMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let answers = Family::default();
        let durations = Family::new_with_constructor(Buckets);
        registry.register("http_requests", "Answers by method, route and class of status", answers.clone());
        let help = "From a request's head to the head of its answer";
        registry.register_with_unit("http_request_duration", help, Unit::Seconds, durations.clone());
        Self { answers, durations }
    }

    /// Counts one answer. `route` is the router's word for the path, never the path.
    pub fn answered(&self, method: &str, route: &str, class: &'static str, took: Duration) {
        let method = METHODS.into_iter().find(|known| *known == method).unwrap_or("other");
        let labels = [("method", method.to_owned()), ("route", route.to_owned()), ("class", class.to_owned())];
        self.answers.get_or_create(&labels).inc();
        self.durations.get_or_create(&[("route", route.to_owned())]).observe(took.as_secs_f64());
    }

    /// How many there were.
    pub fn count(&self, method: &str, route: &str, class: &str) -> u64 {
        let labels = [("method", method.to_owned()), ("route", route.to_owned()), ("class", class.to_owned())];
        self.answers.get_or_create(&labels).get()
    }
}

/// The class of a status, as a label.
pub fn class_of(status: u16) -> &'static str {
    match status {
        ..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        500.. => "5xx",
    }
}
