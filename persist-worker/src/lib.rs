//! Writes the durable record: what ingest-api accepted and how llm-worker ended it.
//!
//! Two subscriptions, one file per event, and a third one for [`webhooks`]. Every write is an idempotent upsert, so any event may come any number of times
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
mod webhooks;

use std::{sync::Arc, time::Duration};

use parlance_shared::{
    Clock, Lifecycle,
    consume::{ConsumeOptions, Processor, consume},
    metrics::Metrics,
    port::{bus::Bus, store::Store},
    topology,
};

use crate::dispatch::Dispatch;
pub use crate::webhooks::Webhooks;

const OPTIONS: ConsumeOptions = ConsumeOptions {
    // Enough to fill the store's commits, few enough to leave its readers room.
    concurrency: 64,
    // Well above the retry budget of one write.
    handler_timeout: Duration::from_secs(120),
};

const WEBHOOK_OPTIONS: ConsumeOptions = ConsumeOptions {
    // They wait for others' answers, most of the time. With what one host may take, it needs many that hang to fill it.
    concurrency: 256,
    // Well above what one delivery can take.
    handler_timeout: Duration::from_secs(60),
};

/// One worker process. All fields are its surroundings.
#[derive(Clone)]
pub struct PersistWorker {
    /// Where events come from.
    pub bus: Arc<dyn Bus>,
    /// The durable record.
    pub store: Arc<dyn Store>,
    /// How the ends of tasks are told.
    pub webhooks: Webhooks,
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
        let [requests, replies, webhooks] = self.start();
        tokio::join!(
            consume(Arc::clone(&bus), requests, lifecycle.clone()),
            consume(Arc::clone(&bus), replies, lifecycle.clone()),
            consume(Arc::clone(&bus), webhooks, lifecycle.clone())
        );
    }

    /// What works on the events of its three subscriptions, for whoever hands them over.
    pub fn start(self) -> [Arc<Processor>; 3] {
        let metrics = Arc::clone(&self.metrics);
        let handler = Arc::new(Dispatch::new(self));
        let works = [
            (topology::PERSIST_REQUESTS, OPTIONS),
            (topology::PERSIST_REPLIES, OPTIONS),
            (topology::WEBHOOKS, WEBHOOK_OPTIONS),
        ];
        works.map(|(subscription, options)| {
            Arc::new(Processor { subscription, handler: handler.clone(), options, metrics: Arc::clone(&metrics) })
        })
    }
}
