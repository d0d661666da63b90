//! The span of one delivery of a message.
//!
//! Each is a span of its own in the trace of whoever published the message, and linked to the publishing, as OpenTelemetry's
//! messaging conventions ask: a redelivery is a sibling of the delivery before it. What an operator sends again, perhaps weeks
//! later, begins a trace of its own that is linked to the first: one that lasts for weeks is of no use to anybody.

use cloudevents::AttributesReader as _;

use crate::{
    TaskId,
    event::call_id,
    port::bus::{Outcome, Received, Subscription},
    replay::Replay,
    trace::{Kind, Span, carried},
};

pub(super) fn begin(received: &Received, subscription: &Subscription) -> Span {
    let event = &received.event;
    let published = carried::of(event);
    let is_sent_again = Replay::of(event).is_some();
    let came = published.clone().filter(|_| !is_sent_again);
    let mut span = Span::enter(came, Kind::Consumer, || format!("process {}", subscription.name).into());
    if let Some(published) = &published {
        span.link(published);
    }
    span.set("messaging.operation.type", || "process");
    span.set("messaging.operation.name", || "process");
    span.set("messaging.destination.name", || subscription.topic.0);
    span.set("messaging.destination.subscription.name", || subscription.name);
    span.set("messaging.gcp_pubsub.message.delivery_attempt", || received.attempt);
    span.set("messaging.gcp_pubsub.message.ordering_key", || received.ordering_key.clone());
    span.set("cloudevents.event_id", || event.id().to_owned());
    span.set("cloudevents.event_type", || event.ty().to_owned());
    if let Some(task) = event.subject().and_then(|subject| subject.parse::<TaskId>().ok()) {
        span.set("parlance.task_id", || task.to_string());
    }
    if let Some(call) = call_id(event) {
        span.set("parlance.call_id", || call.to_string());
    }
    span
}

pub(super) fn end(span: &mut Span, outcome: &Outcome) {
    let (word, reason) = match outcome {
        Outcome::Done => ("done", None),
        Outcome::Retry { reason, .. } => ("retry", Some(reason)),
        // Nothing went wrong: it is not its turn.
        Outcome::Behind { .. } => ("behind", None),
        Outcome::HandBack => ("handed_back", None),
        Outcome::Fail(reason) => ("dead_letter", Some(reason)),
    };
    span.set("parlance.outcome", || word);
    if let Some(reason) = reason {
        span.set("error.type", || reason.code.clone());
        span.fail(|| reason.code.clone().into());
    }
}
