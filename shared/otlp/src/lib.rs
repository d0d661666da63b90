//! Sends spans to a collector by OTLP over HTTP (protobuf), as `OTEL_EXPORTER_OTLP_ENDPOINT` says.
//!
//! A collector beside the process, not Google's endpoint itself: it holds the credentials, knows other targets as well, and
//! keeps what can't be delivered at once. The messages are OpenTelemetry's own; the queue and the sender are ours, because what
//! matters here is what happens when the collector is away: nobody waits, the queue is bounded, what is lost is counted, and a
//! stop does not last longer.
//!
//! A span goes from where it ends through the `queue` to the `exporter`, which makes batches of them; `encode` turns those into
//! OTLP and `send` delivers each within its budget.

mod encode;
mod exporter;
mod queue;
mod send;

use std::sync::Arc;

use parlance_shared::{Lifecycle, metrics::Metrics, settings::TraceSettings, trace::export_to};

use self::{encode::Resource, exporter::Exporter, queue::Queue, send::Sender};

/// What the process is, for whoever reads its spans.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The program's name, unless `OTEL_SERVICE_NAME` gives another.
    pub service: &'a str,
    /// Its version.
    pub version: &'a str,
    /// The Google Cloud project that its traces belong to.
    pub project: Option<&'a str>,
}

/// Records spans from now on and sends them. To be called once in a process. At the lifecycle's stop, what has ended by then
/// is sent: it must be stopped when everything else has ended.
///
/// # Errors
/// When no HTTP client can be made with these settings, in a sentence.
pub fn start(
    settings: &TraceSettings,
    about: About<'_>,
    metrics: &Arc<Metrics>,
    lifecycle: &Lifecycle,
) -> Result<(), String> {
    let sender = Sender::new(settings)?;
    let (queue, spans) = Queue::new(metrics);
    if !export_to(settings.sampler, Box::new(queue)) {
        return Err("spans are exported already".to_owned());
    }
    let resource = Resource::new(settings, about);
    let exporter = Exporter { resource, sender, metrics: Arc::clone(metrics), lifecycle: lifecycle.clone() };
    lifecycle.spawn(exporter.run(spans));
    Ok(())
}
