//! Which providers are not asked for a while, because they failed too often in a row: a circuit breaker for each.
//!
//! A circuit is *closed* while its provider is well, *open* after [`CircuitPolicy::failures`] failures in a row, and
//! *half-open* once [`CircuitPolicy::open_for`] has passed: then one request, a probe, may find out whether the provider is
//! back. Workers that share an adapter share what they know; what they learn of each other comes late rather than never,
//! and nobody waits for it: a worker that can't reach the others goes by what it knows itself.

use std::time::Duration;

use async_trait::async_trait;

/// When a circuit opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CircuitPolicy {
    /// So many failures in a row open it.
    pub failures: u32,
    /// How long nobody asks; then one probe may.
    pub open_for: Duration,
}

impl Default for CircuitPolicy {
    fn default() -> Self {
        Self { failures: 5, open_for: Duration::from_secs(30) }
    }
}

/// Whether a provider may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is well, as far as anybody knows.
    Closed,
    /// It was not well; the caller makes the one request that finds out. Whoever gets this reports how it went; if nobody
    /// does, the next probe is due after [`CircuitPolicy::open_for`].
    Probe,
    /// It is not well. A probe is due after this time.
    Open(Duration),
}

/// The circuits of a deployment's providers, by name.
#[async_trait]
pub trait Circuits: Send + Sync + 'static {
    /// Whether the provider may be asked. From memory, but for a probe, which all workers agree on within a second.
    async fn admit(&self, provider: &str) -> Admission;

    /// A request to it failed in a way that another request may fail, too.
    fn failed(&self, provider: &str);

    /// It answered a request.
    fn answered(&self, provider: &str);
}
