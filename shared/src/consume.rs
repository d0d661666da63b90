//! Runs a handler over a subscription: takes deliveries, keeps their leases, answers them, and drains on stop.
//!
//! [`Processor`] is what happens to one message, however it came; [`consume`] pulls messages for it. The HTTP push adapter
//! hands it messages that were sent.

mod process_span;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use async_trait::async_trait;
use cloudevents::AttributesReader as _;
use futures_util::FutureExt as _;
use tokio::sync::Semaphore;
use tracing::{Instrument as _, Span, debug, error, error_span, info, warn};

use crate::{
    Lifecycle, SessionId, TaskId,
    event::call_id,
    metrics::Metrics,
    port::{
        PortError,
        bus::{Bus, Delivery, Lease, Outcome, Reason, Received, Subscription},
    },
    replay::Replay,
    retry::RetryPolicy,
};

/// Works on one message at a time per ordering key, on many keys at once.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Does the work and says how it went. Every effect is committed before [`Outcome::Done`].
    async fn handle(&self, received: &Received) -> Outcome;

    /// The message is about to be dead-lettered because no delivery of it was ever answered: record that it failed.
    /// An error keeps it out of the dead letters for now.
    async fn give_up(&self, _received: &Received, _reason: &Reason) -> Result<(), PortError> {
        Ok(())
    }
}

/// How a consumer runs.
#[derive(Clone, Copy, Debug)]
pub struct ConsumeOptions {
    /// Messages worked on at once.
    pub concurrency: usize,
    /// A handler that takes longer is dropped and its message retried; it must be well above what work can take.
    pub handler_timeout: Duration,
}

/// When the bus itself fails: wait, then try again for as long as the process lives.
const BUS_TROUBLE: RetryPolicy = RetryPolicy {
    first: Duration::from_millis(100),
    longest: Duration::from_secs(5),
    budget: Duration::from_secs(u32::MAX as u64),
};

/// Consumes until the lifecycle stops; returns when every delivery it took is answered.
pub async fn consume(bus: Arc<dyn Bus>, processor: Arc<Processor>, lifecycle: Lifecycle) {
    let Processor { subscription, options, .. } = *processor;
    let slots = Arc::new(Semaphore::new(options.concurrency));
    let mut trouble = BUS_TROUBLE.start();
    while !lifecycle.stopping().is_cancelled() {
        let subscribing = tokio::time::timeout(SUBSCRIBE, bus.subscribe(subscription, options.concurrency)).await;
        let mut deliveries = match subscribing.unwrap_or_else(|_| Err(late())) {
            Ok(deliveries) => deliveries,
            Err(error) => {
                warn!(bus.subscription = subscription.name, %error, "could not subscribe");
                wait_or_stop(&lifecycle, trouble.next_wait()).await;
                continue;
            }
        };
        loop {
            let delivery = tokio::select! {
                biased;
                () = lifecycle.stopping().cancelled() => break,
                delivery = deliveries.next() => delivery,
            };
            match delivery {
                Ok(delivery) => {
                    trouble = BUS_TROUBLE.start();
                    // The adapter keeps to the same number, so this never waits for long.
                    let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { break };
                    let processor = Arc::clone(&processor);
                    lifecycle.spawn(async move {
                        processor.work_on(delivery).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    warn!(bus.subscription = subscription.name, %error, "could not receive");
                    wait_or_stop(&lifecycle, trouble.next_wait()).await;
                    break;
                }
            }
        }
    }
    let all = u32::try_from(options.concurrency).unwrap_or(u32::MAX);
    // Deliveries under way end by themselves or are handed back when the lifecycle aborts.
    drop(slots.acquire_many(all).await);
}

/// The longest that a bus may take to begin.
const SUBSCRIBE: Duration = Duration::from_secs(30);

fn late() -> PortError {
    PortError::Unavailable { what: "the bus", cause: format!("no answer within {SUBSCRIBE:?}") }
}

async fn wait_or_stop(lifecycle: &Lifecycle, wait: Option<Duration>) {
    let wait = wait.unwrap_or(BUS_TROUBLE.longest);
    tokio::select! {
        () = lifecycle.stopping().cancelled() => {}
        () = tokio::time::sleep(wait) => {}
    }
}

/// Every line of the work on an event carries the call that began it, its task and its session, whatever the level.
fn span_of(received: &Received, subscription: &Subscription) -> Span {
    let task_id = received.event.subject().and_then(|subject| subject.parse::<TaskId>().ok());
    error_span!(
        "event",
        call_id = call_id(&received.event).map(tracing::field::display),
        task_id = task_id.map(tracing::field::display),
        session_id = received.ordering_key.parse::<SessionId>().ok().map(tracing::field::display),
        event.id = received.event.id(),
        bus.subscription = subscription.name,
        bus.attempt = received.attempt,
    )
}

/// What happens to the messages of one subscription.
pub struct Processor {
    /// Where they come from.
    pub subscription: Subscription,
    /// Who works on them.
    pub handler: Arc<dyn Handler>,
    /// Bounds on the work.
    pub options: ConsumeOptions,
    /// What the process counts.
    pub metrics: Arc<Metrics>,
}

impl Processor {
    /// Works on one message and says how it went; the caller answers the bus. `lease`: a hold that must be renewed
    /// meanwhile, for buses that have one.
    pub async fn process(&self, received: &Received, lease: Option<&mut dyn Lease>) -> Outcome {
        let mut span = process_span::begin(received, &self.subscription);
        let working = async {
            if let Some(replay) = Replay::of(&received.event) {
                info!(replay.id = %replay.id, replay.by = replay.by, replay.at = %replay.at, "sent again by an operator");
            }
            let outcome = if received.unanswered >= self.subscription.max_unanswered {
                self.give_up(received).await
            } else {
                self.handle(received, lease).await
            };
            self.note(&outcome);
            outcome
        };
        let outcome = span.scope(working.instrument(span_of(received, &self.subscription))).await;
        process_span::end(&mut span, &outcome);
        outcome
    }

    async fn work_on(&self, delivery: Delivery) {
        let Delivery { received, mut lease } = delivery;
        let outcome = self.process(&received, Some(lease.as_mut())).await;
        if let Err(error) = lease.settle(outcome).await {
            let span = span_of(&received, &self.subscription);
            span.in_scope(|| warn!(%error, "the answer was lost: the message will come again"));
        }
    }

    async fn handle(&self, received: &Received, mut lease: Option<&mut dyn Lease>) -> Outcome {
        let handling = AssertUnwindSafe(self.handler.handle(received)).catch_unwind();
        tokio::pin!(handling);
        let deadline = tokio::time::sleep(self.options.handler_timeout);
        tokio::pin!(deadline);
        let every = self.subscription.lease / 3;
        // Not `interval` and its first tick: that one is late by up to two milliseconds.
        let mut renewal = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
        loop {
            tokio::select! {
                done = &mut handling => {
                    return done.unwrap_or_else(|_| {
                        error!("the handler panicked");
                        self.unanswered_retry(received, "handler_panicked", "The handler panicked.")
                    });
                }
                () = &mut deadline => {
                    error!(timeout_s = self.options.handler_timeout.as_secs(), "the handler took too long");
                    return self.unanswered_retry(received, "handler_timeout", "The handler took too long.");
                }
                _ = renewal.tick(), if lease.is_some() => {
                    let Some(lease) = lease.as_deref_mut() else { continue };
                    if let Err(error) = lease.extend().await {
                        warn!(%error, "could not extend the lease");
                    }
                }
            }
        }
    }

    /// A handler that panics or hangs over and over must not come round for ever.
    fn unanswered_retry(&self, received: &Received, code: &str, message: &str) -> Outcome {
        let reason = Reason::new(code, message);
        if received.attempt >= self.subscription.max_unanswered {
            return Outcome::Fail(reason);
        }
        Outcome::Retry { after: None, reason }
    }

    async fn give_up(&self, received: &Received) -> Outcome {
        let reason =
            Reason::new("unanswered", format!("No worker ever answered {} deliveries in a row.", received.unanswered));
        match self.handler.give_up(received, &reason).await {
            Ok(()) => Outcome::Fail(reason),
            Err(error) => {
                warn!(%error, "could not give the message up yet");
                Outcome::Retry { after: None, reason }
            }
        }
    }

    fn note(&self, outcome: &Outcome) {
        match outcome {
            Outcome::Done => debug!("done"),
            Outcome::Retry { after, reason } => {
                self.metrics.bus_retries.inc(self.subscription.name);
                warn!(reason.code, reason.message, after_ms = after.map(|a| a.as_millis() as u64), "will be retried");
            }
            Outcome::Behind { after, reason } => {
                self.metrics.bus_retries.inc(self.subscription.name);
                debug!(reason.code, reason.message, after_ms = after.as_millis() as u64, "lets others pass");
            }
            Outcome::HandBack => debug!("handed back"),
            Outcome::Fail(reason) => {
                self.metrics.dead_letters.inc(self.subscription.name);
                warn!(reason.code, reason.message, "goes to the dead letters");
            }
        }
    }
}
