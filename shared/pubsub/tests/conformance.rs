//! The suite that every bus passes, on Google's emulator. What can't hold there is in `docs/pubsub-emulator.md`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use cloudevents::Event;

use parlance_conformance::bus::BusHarness;
use parlance_pubsub::PubSubBus;
use parlance_shared::{
    Clock,
    port::{
        PortError,
        bus::{Bus, BusAdmin, Deliveries, Delivery, Lease, Outcome, Published, Subscription, Topic},
    },
};

use support::{Process, project};

/// The suite's times are divided by this: nobody can move the emulator's clock.
const SPEED: u32 = 4;
/// The client sends answers within 100 ms. What is killed in between has not answered; the suite asks what holds after.
const ANSWERS_ARE_OUT: Duration = Duration::from_millis(400);
/// What a dead process held comes again once its ack deadline is over. Until then the emulator delivers what follows it
/// to others; the suite asks what holds after.
const ACK_DEADLINE: Duration = Duration::from_secs(11);

struct Harness {
    project: String,
    process: Process,
    dead: Vec<PubSubBus>,
}

async fn harness() -> Option<Harness> {
    let project = project();
    Some(Harness { process: Process::on_emulator(&project).await?, project, dead: Vec::new() })
}

impl BusHarness for Harness {
    fn bus(&self) -> Arc<dyn Bus> {
        Arc::new(Quick(self.process.bus.clone()))
    }

    fn admin(&self) -> Arc<dyn BusAdmin> {
        Arc::new(self.process.bus.clone())
    }

    fn now(&self) -> DateTime<Utc> {
        Clock::system().now()
    }

    async fn pass(&mut self, time: Duration) {
        tokio::time::sleep(self.takes(time)).await;
    }

    async fn restart(&mut self) {
        tokio::time::sleep(ANSWERS_ARE_OUT).await;
        let next = Process::on_emulator(&self.project).await.expect("the emulator is there");
        self.dead.push(std::mem::replace(&mut self.process, next).kill());
        tokio::time::sleep(ACK_DEADLINE).await;
    }

    fn moves_time(&self) -> bool {
        false
    }

    fn takes(&self, time: Duration) -> Duration {
        time / SPEED
    }

    fn knows_duplicates(&self) -> bool {
        false
    }

    fn remembers_attempts(&self) -> bool {
        false
    }

    fn keeps_place_of_redriven(&self) -> bool {
        false
    }

    fn seeks(&self) -> bool {
        false
    }

    fn orders_dead_letters(&self) -> bool {
        false
    }
}

/// The bus, with all times divided.
struct Quick(PubSubBus);

fn quick(subscription: Subscription) -> Subscription {
    Subscription {
        lease: subscription.lease / SPEED,
        retry_min: subscription.retry_min / SPEED,
        retry_max: subscription.retry_max / SPEED,
        ..subscription
    }
}

#[async_trait]
impl Bus for Quick {
    async fn ensure(&self, subscriptions: &[Subscription]) -> Result<(), PortError> {
        let subscriptions: Vec<_> = subscriptions.iter().copied().map(quick).collect();
        self.0.ensure(&subscriptions).await
    }

    async fn publish(&self, topic: Topic, ordering_key: &str, event: Event) -> Result<Published, PortError> {
        self.0.publish(topic, ordering_key, event).await
    }

    async fn subscribe(&self, subscription: Subscription, max: usize) -> Result<Box<dyn Deliveries>, PortError> {
        Ok(Box::new(QuickDeliveries(self.0.subscribe(quick(subscription), max).await?)))
    }
}

struct QuickDeliveries(Box<dyn Deliveries>);

#[async_trait]
impl Deliveries for QuickDeliveries {
    async fn next(&mut self) -> Result<Delivery, PortError> {
        let Delivery { received, lease } = self.0.next().await?;
        Ok(Delivery { received, lease: Box::new(QuickLease(lease)) })
    }
}

struct QuickLease(Box<dyn Lease>);

#[async_trait]
impl Lease for QuickLease {
    async fn extend(&mut self) -> Result<(), PortError> {
        self.0.extend().await
    }

    async fn settle(self: Box<Self>, outcome: Outcome) -> Result<(), PortError> {
        let outcome = match outcome {
            Outcome::Retry { after, reason } => Outcome::Retry { after: after.map(|after| after / SPEED), reason },
            other => other,
        };
        self.0.settle(outcome).await
    }
}

parlance_conformance::bus_conformance!(if harness());
