//! A bus that can't be published to.

use std::sync::Arc;

use async_trait::async_trait;
use cloudevents::Event;
use parlance_shared::port::{
    PortError,
    bus::{Bus, Deliveries, Published, Subscription, Topic},
};

use super::Faults;

/// Fails publishing; what is on the bus is delivered as ever.
#[derive(Clone)]
pub struct FaultyBus {
    /// The real one.
    pub inner: Arc<dyn Bus>,
    /// What goes wrong.
    pub faults: Faults,
}

impl FaultyBus {
    /// In front of this bus.
    pub fn new(inner: Arc<dyn Bus>, faults: Faults) -> Self {
        Self { inner, faults }
    }
}

#[async_trait]
impl Bus for FaultyBus {
    async fn ensure(&self, subscriptions: &[Subscription]) -> Result<(), PortError> {
        self.inner.ensure(subscriptions).await
    }

    async fn publish(&self, topic: Topic, ordering_key: &str, event: Event) -> Result<Published, PortError> {
        self.faults.pass().await?;
        self.inner.publish(topic, ordering_key, event).await
    }

    async fn subscribe(&self, subscription: Subscription, max: usize) -> Result<Box<dyn Deliveries>, PortError> {
        self.inner.subscribe(subscription, max).await
    }
}
