//! A bus that says of each event which trace it belongs to, and of each publish that it happened.

use std::sync::Arc;

use async_trait::async_trait;
use cloudevents::{AttributesReader as _, Event};

use super::{Kind, Span, carried, current};
use crate::port::{
    PortError,
    bus::{Bus, Deliveries, Published, Subscription, Topic},
};

/// Another bus, with traces.
pub struct TracedBus {
    bus: Arc<dyn Bus>,
    system: &'static str,
}

impl TracedBus {
    /// `system`: its name among OpenTelemetry's messaging systems.
    pub fn new(bus: Arc<dyn Bus>, system: &'static str) -> Self {
        Self { bus, system }
    }
}

#[async_trait]
impl Bus for TracedBus {
    async fn ensure(&self, subscriptions: &[Subscription]) -> Result<(), PortError> {
        self.bus.ensure(subscriptions).await
    }

    async fn publish(&self, topic: Topic, ordering_key: &str, mut event: Event) -> Result<Published, PortError> {
        if current().is_none() {
            return self.bus.publish(topic, ordering_key, event).await;
        }
        let mut span = Span::start(Kind::Producer, || format!("send {}", topic.0).into());
        span.set("messaging.system", || self.system);
        span.set("messaging.operation.type", || "send");
        span.set("messaging.operation.name", || "publish");
        span.set("messaging.destination.name", || topic.0);
        span.set("cloudevents.event_id", || event.id().to_owned());
        span.set("cloudevents.event_type", || event.ty().to_owned());
        carried::put(span.context(), &mut event);
        let published = span.scope(self.bus.publish(topic, ordering_key, event)).await;
        if let Err(error) = &published {
            let code = if error.is_transient() { "unavailable" } else { "rejected" };
            span.set("error.type", || code);
            span.fail(|| code.into());
        }
        published
    }

    async fn subscribe(
        &self,
        subscription: Subscription,
        max_outstanding: usize,
    ) -> Result<Box<dyn Deliveries>, PortError> {
        self.bus.subscribe(subscription, max_outstanding).await
    }
}
