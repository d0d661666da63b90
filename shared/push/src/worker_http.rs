//! What the HTTP side of a worker is made of, and its bounds.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use parlance_shared::{Clock, consume::Processor, metrics::Metrics, port::bus::DeadLetterSink};

use crate::oidc::Verification;

/// One worker's HTTP side. All fields are its surroundings.
pub struct WorkerHttp {
    /// The service's name, e.g. `llm-worker`.
    pub service: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Whether it can work now.
    pub ready: ReadyCheck,
    /// Wall-clock time.
    pub clock: Clock,
    /// What the process counts.
    pub metrics: Arc<Metrics>,
    /// Messages come by HTTP. `None`: the worker pulls, and there is no endpoint for pushes.
    pub push: Option<Push>,
    /// Bounds on connections and requests.
    pub limits: Limits,
}

/// Push mode: who works on messages, and who may send them.
pub struct Push {
    /// One for each subscription of the worker.
    pub processors: Vec<Arc<Processor>>,
    /// Keeps what was given up: the answer to a push has no room for a reason.
    pub dead_letters: Arc<dyn DeadLetterSink>,
    /// How callers prove who they are.
    pub verification: Verification,
}

/// Asks the parts that the worker can't work without. Nothing amiss: an empty list.
pub type ReadyCheck = Arc<dyn Fn() -> BoxFuture<'static, Vec<NotReady>> + Send + Sync>;

/// A part that does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotReady {
    /// A stable code, shown to whoever asks, e.g. `store_unavailable`.
    pub code: &'static str,
    /// For the log alone.
    pub cause: String,
}

/// Bounds on connections and requests.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections open at once; further ones wait to be accepted.
    pub connections: usize,
    /// From the end of one request (or the beginning of the connection) to the complete head of the next.
    pub header_timeout: Duration,
    /// From the head of a push to the end of its body.
    pub body_timeout: Duration,
    /// The largest body.
    pub body_bytes: usize,
    /// How long the readiness check may take.
    pub ready_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1_024,
            // Google's front end keeps connections open between pushes; one that is closed just then costs a redelivery.
            header_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(30),
            // Pub/Sub takes 10 MB of data and attributes; Base64 makes 13.4 MB of them.
            body_bytes: 15 * 1024 * 1024,
            ready_timeout: Duration::from_secs(1),
        }
    }
}
