//! Sends each event of llm-worker's own to the file that is named after it.

use std::sync::Arc;

use async_trait::async_trait;
use cloudevents::AttributesReader as _;
use parlance_shared::{
    consume::Handler,
    event::{DomainEvent as _, HeadingRequested, SummaryRequested},
    port::bus::{Outcome, Reason, Received},
};

use crate::{Worker, on_heading_requested::on_heading_requested, on_summary_requested::on_summary_requested};

pub(crate) struct MemoryDispatch {
    worker: Arc<Worker>,
}

impl MemoryDispatch {
    pub(crate) fn new(worker: Arc<Worker>) -> Self {
        Self { worker }
    }
}

#[async_trait]
impl Handler for MemoryDispatch {
    async fn handle(&self, received: &Received) -> Outcome {
        match received.event.ty() {
            SummaryRequested::TYPE => on_summary_requested(&self.worker, received).await,
            HeadingRequested::TYPE => on_heading_requested(&self.worker, received).await,
            other => Outcome::Fail(Reason::new("unknown_event", format!("No handler for events of type {other:?}."))),
        }
    }
}
