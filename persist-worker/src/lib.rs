//! Writes the durable record: what ingest-api accepted and how llm-worker ended it.
//!
//! Two subscriptions, one file per event. Every write is an idempotent upsert, so any event may come any number of times
//! and in any order; database trouble is retried here first, then left to redelivery; what can never be written goes to
//! the dead letters.

mod dispatch;
mod on_heading_made;
mod on_message_submitted;
mod on_reply_completed;
mod on_session_changed;
mod on_session_deleted;
mod on_summary_made;
mod record;

use std::{sync::Arc, time::Duration};

use parlance_shared::{
    Clock, Lifecycle,
    consume::{ConsumeOptions, Processor, consume},
    metrics::Metrics,
    port::{bus::Bus, store::Store},
    topology,
};

use crate::dispatch::Dispatch;

const OPTIONS: ConsumeOptions = ConsumeOptions {
    // Enough to fill the store's commits, few enough to leave its readers room.
    concurrency: 64,
    // Well above the retry budget of one write.
    handler_timeout: Duration::from_secs(120),
};

/// One worker process. All fields are its surroundings.
#[derive(Clone)]
pub struct PersistWorker {
    /// Where events come from.
    pub bus: Arc<dyn Bus>,
    /// The durable record.
    pub store: Arc<dyn Store>,
    /// Wall-clock time.
    pub clock: Clock,
    /// What the process counts.
    pub metrics: Arc<Metrics>,
    /// Start and stop of the process.
    pub lifecycle: Lifecycle,
}

impl PersistWorker {
    /// Writes events that it pulls until the lifecycle stops; returns when each one it took is written or handed back.
    pub async fn run(self) {
        let (bus, lifecycle) = (Arc::clone(&self.bus), self.lifecycle.clone());
        let [requests, replies] = self.start();
        tokio::join!(
            consume(Arc::clone(&bus), requests, lifecycle.clone()),
            consume(Arc::clone(&bus), replies, lifecycle.clone())
        );
    }

    /// What writes the events of its two subscriptions, for whoever hands them over.
    pub fn start(self) -> [Arc<Processor>; 2] {
        let metrics = Arc::clone(&self.metrics);
        let handler = Arc::new(Dispatch::new(self));
        [topology::PERSIST_REQUESTS, topology::PERSIST_REPLIES].map(|subscription| {
            Arc::new(Processor {
                subscription,
                handler: handler.clone(),
                options: OPTIONS,
                metrics: Arc::clone(&metrics),
            })
        })
    }
}
