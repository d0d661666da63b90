//! What goes on beside the work until everything else has ended: the export of spans, and `/metrics` for a collector in the
//! same instance.

use std::sync::Arc;

use parlance_otlp::About;
use parlance_shared::{Lifecycle, metrics::Metrics, settings::Settings};
use tracing::{info, warn};

use crate::{StartError, metrics_port, stop};

/// Running, until it is closed.
pub struct Observability {
    lifecycle: Lifecycle,
}

impl Observability {
    /// Starts what the settings ask for.
    ///
    /// # Errors
    /// When `METRICS_PORT` is taken, or the collector's settings can't be used.
    pub async fn start(settings: &Settings, service: &str, metrics: &Arc<Metrics>) -> Result<Self, StartError> {
        let (lifecycle, telemetry) = (Lifecycle::new(), &settings.telemetry);
        if let Some(port) = telemetry.metrics_port {
            let listener = metrics_port::listen(port).await?;
            lifecycle.spawn(metrics_port::serve(listener, Arc::clone(metrics), lifecycle.clone()));
        }
        if let Some(traces) = &telemetry.traces {
            let about = About { service, version: env!("CARGO_PKG_VERSION"), project: settings.project() };
            parlance_otlp::start(traces, about, metrics, &lifecycle).map_err(StartError::Unusable)?;
            let host = traces.endpoint.host_str().unwrap_or_default();
            info!(otlp.host = host, sampler.share = traces.sampler.share, "spans are exported");
        }
        Ok(Self { lifecycle })
    }

    /// Sends what is left, within the time that closing may take.
    pub async fn close(self) {
        if !self.lifecycle.stop(stop::CLOSE, std::time::Duration::ZERO).await {
            warn!("some spans could not be exported in time");
        }
    }
}
