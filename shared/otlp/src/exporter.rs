//! Makes batches of what comes, and has them sent one after the other. While one is under way, the queue fills.

use std::{sync::Arc, time::Duration};

use parlance_shared::{Lifecycle, metrics::Metrics, trace::FinishedSpan};
use tokio::{sync::mpsc, time::timeout};
use tracing::{info, warn};

use crate::{encode::Resource, send::Sender};

/// The most spans of one request.
const BATCH: usize = 512;

/// How long the first span of a batch waits for others.
const DELAY: Duration = Duration::from_secs(1);

pub(crate) struct Exporter {
    pub(crate) resource: Resource,
    pub(crate) sender: Sender,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) lifecycle: Lifecycle,
}

impl Exporter {
    /// Until the stop, and then until the queue is empty.
    pub(crate) async fn run(self, mut spans: mpsc::Receiver<FinishedSpan>) {
        let mut is_well = true;
        let mut batch = Vec::new();
        while self.fill(&mut spans, &mut batch).await {
            let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
            let request = self.resource.request(batch.drain(..));
            match self.sender.send(request, self.lifecycle.stopping()).await {
                Ok(rejected) => {
                    let rejected = rejected.min(count);
                    self.metrics.trace_spans.inc_by("exported", count - rejected);
                    if rejected > 0 {
                        self.metrics.trace_spans.inc_by("failed", rejected);
                    }
                    if !is_well {
                        info!("spans are taken again");
                    }
                    is_well = true;
                }
                Err(cause) => {
                    self.metrics.trace_spans.inc_by("failed", count);
                    // Said once, and counted each time.
                    if is_well {
                        warn!(cause, "spans are not taken by the collector");
                    }
                    is_well = false;
                }
            }
        }
    }

    /// The next batch; false when there will be none.
    async fn fill(&self, spans: &mut mpsc::Receiver<FinishedSpan>, batch: &mut Vec<FinishedSpan>) -> bool {
        let stopping = self.lifecycle.stopping();
        let more = async {
            spans.recv_many(batch, BATCH).await;
            let rest = async {
                while batch.len() < BATCH {
                    let room = BATCH - batch.len();
                    spans.recv_many(batch, room).await;
                }
            };
            // Late or full, it goes.
            let _ = timeout(DELAY, rest).await;
        };
        tokio::select! {
            biased;
            () = stopping.cancelled() => {}
            () = more => return true,
        }
        // What ends from now on is counted as dropped.
        spans.close();
        while batch.len() < BATCH {
            match spans.try_recv() {
                Ok(span) => batch.push(span),
                Err(_) => break,
            }
        }
        !batch.is_empty()
    }
}
