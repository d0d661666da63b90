//! Dead letters as messages: the original one, and why it was given up.
//!
//! Each subscription's letters are in a topic and a subscription of their own, so that they can be read, and redriven, with
//! Google's tools as well. A letter keeps the original attributes and data; what is added begins with `parlance-dead-`.
//! Letters that Pub/Sub made itself have attributes of its own.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use google_cloud_pubsub::model::Message;
use parlance_shared::{
    port::{
        PortError,
        bus::{DeadLetter, Reason, Subscription},
    },
    replay::Replay,
};

use crate::{
    Inner,
    message::{MAX_ATTRIBUTE_BYTES, REDRIVE_FOR, event_of, of_event, published_at, unreadable},
    names::dead_letters_of,
};

const PREFIX: &str = "parlance-dead-";
const SUBSCRIPTION: &str = "parlance-dead-subscription";
const REASON_CODE: &str = "parlance-dead-reason-code";
const REASON_MESSAGE: &str = "parlance-dead-reason-message";
const ATTEMPTS: &str = "parlance-dead-attempts";
const PUBLISHED_AT: &str = "parlance-dead-published-at";
const DEAD_AT: &str = "parlance-dead-dead-at";
const ORDERING_KEY: &str = "parlance-dead-ordering-key";

/// In front of what Pub/Sub adds itself.
const ITS_OWN: &str = "CloudPubSubDeadLetterSource";
const ITS_COUNT: &str = "CloudPubSubDeadLetterSourceDeliveryCount";
const ITS_PUBLISH_TIME: &str = "CloudPubSubDeadLetterSourceTopicPublishTime";

/// The code of letters that Pub/Sub made.
const SECOND_NET_CODE: &str = "max_delivery_attempts";

/// Returns once Pub/Sub has the letter.
pub(crate) async fn keep(
    bus: &Arc<Inner>,
    subscription: &Subscription,
    message: &Message,
    published_at: DateTime<Utc>,
    attempts: u32,
    reason: &Reason,
) -> Result<(), PortError> {
    let letter = letter(subscription, message, published_at, bus.options.clock.now(), attempts, reason);
    bus.publishing.publish(&bus.names.topic(&dead_letters_of(subscription.name)), letter).await
}

fn letter(
    subscription: &Subscription,
    message: &Message,
    published_at: DateTime<Utc>,
    dead_at: DateTime<Utc>,
    attempts: u32,
    reason: &Reason,
) -> Message {
    let mut attributes = message.attributes.clone();
    attributes.retain(|name, _| !name.starts_with(PREFIX) && name != REDRIVE_FOR);
    let mut put = |name: &str, value: &str| attributes.insert(name.to_owned(), truncated(value).to_owned());
    put(SUBSCRIPTION, subscription.name);
    put(REASON_CODE, &reason.code);
    put(REASON_MESSAGE, &reason.message);
    put(ATTEMPTS, &attempts.to_string());
    put(PUBLISHED_AT, &published_at.to_rfc3339_opts(SecondsFormat::Millis, true));
    put(DEAD_AT, &dead_at.to_rfc3339_opts(SecondsFormat::Millis, true));
    if !message.ordering_key.is_empty() {
        put(ORDERING_KEY, &message.ordering_key);
    }
    // An empty value is no value to Pub/Sub.
    attributes.retain(|_, value| !value.is_empty());
    Message::new().set_data(message.data.clone()).set_attributes(attributes)
}

/// A letter as operators see it.
pub(crate) fn read(subscription: &Subscription, letter: &Message) -> DeadLetter {
    let text = |name: &str| letter.attributes.get(name).map(String::as_str);
    let time =
        |name: &str| text(name).and_then(|time| DateTime::parse_from_rfc3339(time).ok()).map(|time| time.to_utc());
    let number = |name: &str| text(name).and_then(|number| number.parse::<u32>().ok());
    let reason = match text(REASON_CODE) {
        Some(code) => Reason::new(code, text(REASON_MESSAGE).unwrap_or_default()),
        None => Reason::new(SECOND_NET_CODE, "Pub/Sub gave it up: it was delivered too often."),
    };
    let dead_at = published_at(letter);
    DeadLetter {
        id: letter.message_id.clone(),
        subscription: text(SUBSCRIPTION).unwrap_or(subscription.name).to_owned(),
        event: event_of(&original(letter)).unwrap_or_else(|_| unreadable(&letter.message_id, &letter.data)),
        ordering_key: ordering_key(letter).to_owned(),
        reason,
        attempts: number(ATTEMPTS).or_else(|| number(ITS_COUNT)).unwrap_or_default(),
        published_at: time(PUBLISHED_AT).or_else(|| time(ITS_PUBLISH_TIME)).unwrap_or(dead_at),
        dead_at: time(DEAD_AT).unwrap_or(dead_at),
    }
}

/// The message that delivers a letter again, to its subscription alone, with the operator's mark.
pub(crate) fn redriven(subscription: &Subscription, letter: &Message, replay: &Replay) -> Result<Message, PortError> {
    let original = original(letter);
    let key = ordering_key(letter);
    let mut message = match event_of(&original) {
        Ok(mut event) => {
            replay.mark(&mut event);
            of_event(&event, key)?
        }
        // Bytes that are no event have no place for a mark.
        Err(_) => original.set_ordering_key(key),
    };
    message.attributes.insert(REDRIVE_FOR.to_owned(), subscription.name.to_owned());
    Ok(message)
}

/// As it was published.
fn original(letter: &Message) -> Message {
    let mut attributes = letter.attributes.clone();
    attributes.retain(|name, _| !name.starts_with(PREFIX) && !name.starts_with(ITS_OWN) && name != REDRIVE_FOR);
    Message::new().set_data(letter.data.clone()).set_attributes(attributes)
}

fn ordering_key(letter: &Message) -> &str {
    letter.attributes.get(ORDERING_KEY).unwrap_or(&letter.ordering_key)
}

fn truncated(value: &str) -> &str {
    &value[..value.floor_char_boundary(MAX_ATTRIBUTE_BYTES)]
}

#[cfg(test)]
mod tests {
    use cloudevents::{AttributesReader as _, EventBuilder as _, EventBuilderV10};
    use parlance_shared::topology::LLM_WORKER;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn replay() -> Replay {
        Replay { id: uuid::Uuid::now_v7(), by: "ops".into(), at: at(9), reopens: false }
    }

    #[test]
    fn a_letter_keeps_the_message_and_the_reason() {
        let event = EventBuilderV10::new().id("e").ty("t").source("//s").data("text/plain", "x").build().unwrap();
        let message = of_event(&event, "key").unwrap();
        let reason = Reason::new("broken", "ü".repeat(2000));
        let kept = letter(&LLM_WORKER, &message, at(1), at(2), 3, &reason).set_message_id("7");
        assert!(kept.attributes.values().all(|value| value.len() <= 1024));
        let read = read(&LLM_WORKER, &kept);
        assert_eq!(read.event.id(), "e");
        assert_eq!((read.id.as_str(), read.ordering_key.as_str(), read.attempts), ("7", "key", 3));
        assert_eq!((read.reason.code.as_str(), read.published_at, read.dead_at), ("broken", at(1), at(2)));
        let replay = replay();
        let again = redriven(&LLM_WORKER, &kept, &replay).unwrap();
        assert_eq!(again.ordering_key, "key");
        assert_eq!(again.attributes[REDRIVE_FOR], LLM_WORKER.name);
        assert!(!again.attributes.keys().any(|name| name.starts_with(PREFIX)));
        assert_eq!(Replay::of(&event_of(&again).unwrap()), Some(replay));
        // A letter of a redriven message does not say that it was.
        let letter = letter(&LLM_WORKER, &again, at(1), at(2), 1, &reason);
        assert!(!letter.attributes.contains_key(REDRIVE_FOR));
    }

    #[test]
    fn what_is_no_event_is_kept_and_sent_again_as_it_was() {
        let foreign = Message::new().set_data("hello").set_attributes([("from", "elsewhere")]).set_ordering_key("k");
        let kept = letter(&LLM_WORKER, &foreign, at(1), at(2), 1, &Reason::new("unreadable_message", ""));
        let read = read(&LLM_WORKER, &kept.clone().set_message_id("7"));
        assert_eq!(read.event.ty(), "parlance.unreadable.v1");
        let again = redriven(&LLM_WORKER, &kept, &replay()).unwrap();
        assert_eq!((again.data.as_ref(), again.ordering_key.as_str()), (b"hello".as_slice(), "k"));
        assert_eq!(again.attributes["from"], "elsewhere");
    }

    #[test]
    fn a_letter_of_pubsub_itself_says_so() {
        let letter = Message::new()
            .set_attributes([(ITS_COUNT, "100"), (ITS_PUBLISH_TIME, "1970-01-01T00:00:05Z")])
            .set_ordering_key("k");
        let read = read(&LLM_WORKER, &letter);
        assert_eq!((read.reason.code.as_str(), read.attempts, read.published_at), (SECOND_NET_CODE, 100, at(5)));
        assert_eq!(read.ordering_key, "k");
    }
}
