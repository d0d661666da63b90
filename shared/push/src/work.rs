//! From a pushed message to the answer: the processor's outcome, and a dead letter where it gives up.

use std::time::Duration;

use parlance_shared::{
    binary_mode::from_message,
    consume::Processor,
    delivery_count::unanswered,
    event::EventError,
    port::bus::{Outcome, Reason, Received, Subscription},
};
use tracing::warn;

use crate::{endpoint::PushEndpoint, formats::PushedMessage, keep_letter::keep_letter, unreadable};

/// The code of messages that are no events.
const UNREADABLE: &str = "unreadable_message";

/// What the caller is told.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Never again: it is done, or in the dead letters.
    Done,
    /// Again, after this time at the earliest.
    Retry(Duration),
    /// Again, to another process.
    HandedBack,
    /// Again: it was given up, and that could not be recorded.
    NotKept(String),
}

pub(crate) async fn work_on(processor: &Processor, endpoint: &PushEndpoint, message: PushedMessage) -> Answer {
    let subscription = processor.subscription;
    let (received, unreadable) = receive(message, &subscription, endpoint);
    let reason = match unreadable {
        Some(error) => {
            processor.metrics.dead_letters.inc(subscription.name);
            let (code, cause) = (UNREADABLE, error.to_string());
            warn!(
                bus.subscription = subscription.name,
                reason.code = code,
                reason.message = cause,
                "goes to the dead letters"
            );
            Reason::new(code, cause)
        }
        None => match processor.process(&received, None).await {
            Outcome::Done => return Answer::Done,
            Outcome::Retry { after, .. } => return Answer::Retry(after.unwrap_or(subscription.retry_min)),
            Outcome::Behind { after, .. } => return Answer::Retry(after),
            Outcome::HandBack => return Answer::HandedBack,
            Outcome::Fail(reason) => reason,
        },
    };
    match keep_letter(&*endpoint.dead_letters, subscription, &received, &reason).await {
        Ok(()) => Answer::Done,
        Err(error) => Answer::NotKept(error.to_string()),
    }
}

/// The message as a handler takes it; of one that is no event, a stand-in that holds it, and what is wrong with it.
fn receive(
    mut message: PushedMessage,
    subscription: &Subscription,
    endpoint: &PushEndpoint,
) -> (Received, Option<EventError>) {
    let published_at = message.published_at.unwrap_or_else(|| endpoint.clock.now());
    // Only attributes can be wrong. They are tried without the data, so that these are there for the stand-in.
    let unreadable = from_message(message.attributes(), Vec::new()).err();
    let event = match &unreadable {
        Some(_) => unreadable::stand_in(&message, published_at),
        None => {
            let data = std::mem::take(&mut message.data);
            from_message(message.attributes(), data).unwrap_or_else(|_| unreadable::stand_in(&message, published_at))
        }
    };
    // Without a policy of dead letters Pub/Sub does not count deliveries.
    let attempt = message.delivery_attempt.unwrap_or(1).max(1);
    let received = Received {
        event,
        ordering_key: message.ordering_key,
        attempt,
        unanswered: unanswered(attempt, subscription),
        published_at,
    };
    (received, unreadable)
}
