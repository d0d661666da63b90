//! Between those who end spans and the one who sends them.

use std::{fmt, sync::Arc};

use parlance_shared::{
    metrics::Metrics,
    trace::{FinishedSpan, SpanSink},
};
use tokio::sync::mpsc;

/// As OpenTelemetry's batch processors have it: one or two megabytes.
const MOST_WAITING: usize = 2_048;

/// Takes spans as long as there is room.
pub(crate) struct Queue {
    spans: mpsc::Sender<FinishedSpan>,
    metrics: Arc<Metrics>,
}

impl Queue {
    pub(crate) fn new(metrics: &Arc<Metrics>) -> (Self, mpsc::Receiver<FinishedSpan>) {
        let (spans, receiver) = mpsc::channel(MOST_WAITING);
        (Self { spans, metrics: Arc::clone(metrics) }, receiver)
    }
}

impl SpanSink for Queue {
    fn take(&self, span: FinishedSpan) {
        if self.spans.try_send(span).is_err() {
            self.metrics.trace_spans.inc("dropped");
        }
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("free", &self.spans.capacity()).finish()
    }
}
