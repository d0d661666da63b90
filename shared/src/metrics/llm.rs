//! Requests to providers. Values of the labels come from the settings and from fixed lists.

use std::time::Duration;

use prometheus_client::{
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

type Provider = [(&'static str, String); 1];
type Error = [(&'static str, String); 2];

/// Requests to providers, by provider.
#[derive(Debug)]
pub struct LlmMetrics {
    requests: Family<Provider, Counter>,
    errors: Family<Error, Counter>,
    first_token: Family<Provider, Histogram, Buckets>,
}

#[derive(Clone, Copy, Debug)]
struct Buckets;

impl MetricConstructor<Histogram> for Buckets {
    /// 10 ms to about 80 s.
    fn new_metric(&self) -> Histogram {
        Histogram::new(exponential_buckets(0.01, 2.0, 14))
    }
}

impl LlmMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let (requests, errors) = (Family::default(), Family::default());
        let first_token = Family::new_with_constructor(Buckets);
        registry.register("llm_requests", "Requests to providers", requests.clone());
        registry.register("llm_errors", "Requests to providers that ended with an error", errors.clone());
        let help = "From the request to a provider to its first token";
        registry.register_with_unit("llm_first_token", help, Unit::Seconds, first_token.clone());
        Self { requests, errors, first_token }
    }

    /// A provider is asked.
    pub fn asked(&self, provider: &str) {
        self.requests.get_or_create(&[("provider", provider.to_owned())]).inc();
    }

    /// It failed.
    pub fn failed(&self, provider: &str, code: &str) {
        self.errors.get_or_create(&[("provider", provider.to_owned()), ("code", code.to_owned())]).inc();
    }

    /// It began to answer.
    pub fn first_token(&self, provider: &str, after: Duration) {
        self.first_token.get_or_create(&[("provider", provider.to_owned())]).observe(after.as_secs_f64());
    }
}
