//! One consumer: a task reads the stream into [`Keys`], which the consumer takes from.
//!
//! When the consumer leaves, the stream is closed, then what it did not take is given back; what is out stays out, on lease, until it is
//! answered. Only then the stream's lease management ends, once the last answers are with Pub/Sub. The task is tracked by
//! the lifecycle, so that a process that stops waits for that, for as long as it waits at all.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use google_cloud_gax::error::rpc::Code;
use google_cloud_pubsub::{
    model::Message,
    subscriber::{MessageStream, ShutdownBehavior, handler::Handler},
};
use parlance_shared::port::{
    PortError,
    bus::{Deliveries, Delivery, Outcome, Reason, Received, Subscription},
};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::{
    Inner, bounded,
    clients::ADMIN,
    error::{code_of, port_error, rejected, unavailable},
    keys::{Hold, Keys, Out, Rules},
    lease::PubSubLease,
    message::{REDRIVE_FOR, event_of, published_at},
    setup::SECOND_NET,
};

/// So long Pub/Sub waits for a sign of life before it delivers again what a dead process held.
const ACK_DEADLINE: Duration = Duration::from_secs(10);
/// The client extends the lease of a message no longer than this. What takes longer is bounded by the consume loop.
const MAX_LEASE: Duration = Duration::from_secs(24 * 3600);
pub(crate) const UNTIL_A_STREAM_IS_CLOSED: Duration = Duration::from_millis(100);
/// When the process stops hard, answers have so long to reach Pub/Sub.
const LAST: Duration = Duration::from_secs(2);
/// The consume loop gives a message up so many deliveries before Pub/Sub does.
const MARGIN: u32 = 5;

impl Hold for Handler {
    fn ack(self) {
        Handler::ack(self);
    }

    fn nack(self) {
        Handler::nack(self);
    }
}

/// What the consumer, its leases and the reader share.
pub(crate) struct Shared {
    pub(crate) bus: Arc<Inner>,
    pub(crate) subscription: Subscription,
    keys: Mutex<Keys<Held, Handler>>,
    wake: Notify,
    failed: Mutex<Option<PortError>>,
    closed: CancellationToken,
}

/// A message as Pub/Sub delivered it.
#[derive(Clone)]
pub(crate) struct Held {
    message: Arc<Message>,
    delivery_attempt: u32,
}

/// Sees whether the subscription is there, if this process may know, and begins to read.
pub(crate) async fn subscribe(
    bus: &Arc<Inner>,
    subscription: Subscription,
    max_outstanding: usize,
) -> Result<PubSubDeliveries, PortError> {
    let name = bus.names.subscription(subscription.name);
    check(bus, &name).await?;
    let options = &bus.options;
    let rules = Rules {
        lease: subscription.lease,
        retry_min: subscription.retry_min,
        retry_max: subscription.retry_max,
        per_key: options.held_per_key,
        max_out: max_outstanding,
    };
    let shared = Arc::new(Shared {
        bus: Arc::clone(bus),
        subscription,
        keys: Mutex::new(Keys::new(rules)),
        wake: Notify::new(),
        failed: Mutex::default(),
        closed: CancellationToken::new(),
    });
    let subscriber = bounded("subscribing", ADMIN, bus.clients.subscriber()).await?;
    let _on_the_bus_runtime = bus.runtime.enter();
    let stream = subscriber
        .subscribe(name)
        .set_max_lease_extension(ACK_DEADLINE)
        .set_max_lease(MAX_LEASE)
        .set_max_outstanding_messages(i64::try_from(options.held).unwrap_or(i64::MAX))
        .set_max_outstanding_bytes(i64::try_from(options.held_bytes).unwrap_or(i64::MAX))
        .set_shutdown_behavior(ShutdownBehavior::WaitForProcessing)
        .build();
    bus.lifecycle.spawn(read(stream, Arc::clone(&shared)));
    Ok(PubSubDeliveries { shared })
}

/// A role that may consume need not be allowed to look at the subscription: then the stream will tell.
async fn check(bus: &Arc<Inner>, name: &str) -> Result<(), PortError> {
    let asking = async {
        let found = bus.clients.subscriptions().await?.get_subscription().set_subscription(name).send().await;
        match found {
            Ok(found) => {
                if !found.enable_message_ordering {
                    warn!(bus.subscription = name, "has no message ordering: turns of a session may be out of order");
                }
                Ok(())
            }
            Err(error) if code_of(&error) == Some(Code::PermissionDenied) => Ok(()),
            Err(error) if code_of(&error) == Some(Code::NotFound) => {
                Err(rejected(format!("the subscription {name} does not exist ('parlance pubsub setup' makes it)")))
            }
            Err(error) => Err(port_error(&format!("subscribing to {name}"), &error)),
        }
    };
    bounded("subscribing", ADMIN, asking).await
}

async fn read(mut stream: MessageStream, shared: Arc<Shared>) {
    loop {
        let arrived = tokio::select! {
            biased;
            () = shared.closed.cancelled() => break,
            arrived = stream.next() => arrived,
        };
        match arrived {
            Some(Ok((message, handler))) => shared.arrived(message, handler),
            Some(Err(failed)) => {
                shared.fail(port_error(&format!("receiving from {}", shared.subscription.name), &failed));
                break shared.closed.cancelled().await;
            }
            None => {
                shared.fail(unavailable(format!("the stream of {} ended", shared.subscription.name)));
                break shared.closed.cancelled().await;
            }
        }
    }
    while let Some(Some(Ok((message, handler)))) = stream.next().now_or_never() {
        shared.arrived(message, handler);
    }
    let ended = stream.shutdown_token();
    drop(stream);
    // What is given back while the stream is still known at the other end would be sent to it.
    tokio::time::sleep(UNTIL_A_STREAM_IS_CLOSED).await;
    shared.change(Keys::close);
    let aborting = shared.bus.lifecycle.aborting().clone();
    let at_last = async {
        aborting.cancelled().await;
        tokio::time::sleep(LAST / 2).await;
        // Who has not answered by now will not.
        shared.keys().abandon(Instant::now());
        tokio::time::sleep(LAST / 2).await;
    };
    tokio::select! {
        () = ended.shutdown() => debug!(bus.subscription = shared.subscription.name, "all answers are with Pub/Sub"),
        () = at_last => warn!(bus.subscription = shared.subscription.name, "some answers may be lost"),
    }
}

impl Shared {
    fn keys(&self) -> MutexGuard<'_, Keys<Held, Handler>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is held; the consumer looks again.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Keys<Held, Handler>, Instant) -> T) -> T {
        let changed = change(&mut self.keys(), Instant::now());
        self.wake.notify_one();
        changed
    }

    fn fail(&self, error: PortError) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        self.wake.notify_one();
    }

    fn arrived(&self, message: Message, handler: Handler) {
        if message.attributes.get(REDRIVE_FOR).is_some_and(|only| only != self.subscription.name) {
            return handler.ack();
        }
        // Without an ordering key a message follows none.
        let key = if message.ordering_key.is_empty() { &message.message_id } else { &message.ordering_key };
        let (key, id) = (key.clone(), message.message_id.clone());
        let delivery_attempt = handler.delivery_attempt().and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
        let published = published_at(&message).timestamp_micros();
        let held = Held { message: Arc::new(message), delivery_attempt };
        self.change(|keys, now| keys.arrive(&key, &id, published, held, handler, now));
    }
}

/// Receives from one stream.
pub(crate) struct PubSubDeliveries {
    shared: Arc<Shared>,
}

#[async_trait]
impl Deliveries for PubSubDeliveries {
    async fn next(&mut self) -> Result<Delivery, PortError> {
        let shared = &self.shared;
        loop {
            let (taken, wake_at) = {
                let mut keys = shared.keys();
                (keys.take(Instant::now()), keys.next_wake())
            };
            if let Some(out) = taken {
                if let Some(delivery) = deliver(shared, out) {
                    return Ok(delivery);
                }
                continue;
            }
            if let Some(failed) = shared.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return Err(failed);
            }
            let time_comes = async {
                match wake_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = shared.wake.notified() => {}
                () = time_comes => {}
            }
        }
    }
}

impl Drop for PubSubDeliveries {
    fn drop(&mut self) {
        self.shared.closed.cancel();
    }
}

/// What holds no event goes to the dead letters: a handler could do nothing with it, and its key must go on.
fn deliver(shared: &Arc<Shared>, out: Out<Held>) -> Option<Delivery> {
    let Held { message, delivery_attempt } = out.message;
    // Pub/Sub's count tells crashes only roughly: what is given back counts, too. So it matters near its end alone.
    let allowed = SECOND_NET.saturating_sub(MARGIN + shared.subscription.max_unanswered);
    let near_the_end = delivery_attempt.saturating_sub(allowed);
    let (attempt, unanswered) = (out.attempt.saturating_add(near_the_end), out.unanswered.saturating_add(near_the_end));
    let published_at = published_at(&message);
    let event = event_of(&message);
    let lease = PubSubLease::new(Arc::clone(shared), out.key, out.token, Arc::clone(&message), attempt, published_at);
    match event {
        Ok(event) => {
            let ordering_key = message.ordering_key.clone();
            let received = Received { event, ordering_key, attempt, unanswered, published_at };
            Some(Delivery { received, lease: Box::new(lease) })
        }
        Err(problem) => {
            error!(bus.subscription = shared.subscription.name, message.id = message.message_id, problem, "no event");
            let reason = Reason::new("unreadable_message", format!("It is no event: {problem}."));
            let _on_the_bus_runtime = shared.bus.runtime.enter();
            shared.bus.lifecycle.spawn(async move {
                let lease: Box<dyn parlance_shared::port::bus::Lease> = Box::new(lease);
                if let Err(error) = lease.settle(Outcome::Fail(reason)).await {
                    warn!(%error, "an unreadable message could not be kept as a dead letter yet");
                }
            });
            None
        }
    }
}
