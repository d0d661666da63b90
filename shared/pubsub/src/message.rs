//! Messages on the wire: what fits into one, and what an event looks like as one.

use chrono::{DateTime, Utc};
use cloudevents::{Data, Event, EventBuilder as _, EventBuilderV10};
use google_cloud_pubsub::model::Message;
use parlance_shared::{binary_mode, port::PortError};

use crate::error::rejected;

/// Pub/Sub takes 10 MB; what a dead letter adds must fit, too.
pub const MAX_MESSAGE_BYTES: usize = 10_000_000 - 16_384;
/// Pub/Sub takes 100; a dead letter has some of its own.
pub const MAX_ATTRIBUTES: usize = 85;
/// The longest value of an attribute.
pub const MAX_ATTRIBUTE_BYTES: usize = 1024;
/// The longest ordering key: as an attribute of a dead letter it must fit, too.
pub const MAX_ORDERING_KEY_BYTES: usize = 1024;
/// The longest name of an attribute.
const MAX_NAME_BYTES: usize = 256;

/// On a message that is for one subscription of its topic alone: the others acknowledge it unread.
pub(crate) const REDRIVE_FOR: &str = "parlance-redrive-for";

/// The event as a message; checks that it fits.
pub(crate) fn of_event(event: &Event, ordering_key: &str) -> Result<Message, PortError> {
    let (attributes, data) = binary_mode::to_message(event).map_err(|error| rejected(error.to_string()))?;
    let too_long = |what: &str, bytes: usize, most: usize| {
        Err(rejected(format!("{what} is too large: {bytes} bytes, {most} fit")))
    };
    if ordering_key.len() > MAX_ORDERING_KEY_BYTES {
        return too_long("the ordering key", ordering_key.len(), MAX_ORDERING_KEY_BYTES);
    }
    if attributes.len() > MAX_ATTRIBUTES {
        return Err(rejected(format!("there are too many attributes: {}, {MAX_ATTRIBUTES} fit", attributes.len())));
    }
    let mut total = data.len() + ordering_key.len();
    for (name, value) in &attributes {
        if name.len() > MAX_NAME_BYTES {
            return too_long(&format!("the name of the attribute {name:?}"), name.len(), MAX_NAME_BYTES);
        }
        if value.len() > MAX_ATTRIBUTE_BYTES {
            return too_long(&format!("the attribute {name}"), value.len(), MAX_ATTRIBUTE_BYTES);
        }
        total += name.len() + value.len();
    }
    if total > MAX_MESSAGE_BYTES {
        return too_long("the message", total, MAX_MESSAGE_BYTES);
    }
    Ok(Message::new().set_data(data).set_attributes(attributes).set_ordering_key(ordering_key))
}

/// The event of a message, or why it has none.
pub(crate) fn event_of(message: &Message) -> Result<Event, String> {
    let attributes = message.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    binary_mode::from_message(attributes, message.data.to_vec()).map_err(|error| error.to_string())
}

/// Stands in lists of dead letters for a message that holds no event.
pub fn unreadable(message_id: &str, data: &[u8]) -> Event {
    let built = EventBuilderV10::new()
        .id(if message_id.is_empty() { "unknown" } else { message_id })
        .ty("parlance.unreadable.v1")
        .source("//parlance/pubsub")
        .data("application/octet-stream", Data::Binary(data.to_vec()))
        .build();
    built.unwrap_or_default()
}

/// When Pub/Sub took it.
pub(crate) fn published_at(message: &Message) -> DateTime<Utc> {
    let time = message.publish_time.unwrap_or_default();
    DateTime::from_timestamp(time.seconds(), u32::try_from(time.nanos()).unwrap_or_default()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> EventBuilderV10 {
        EventBuilderV10::new().id("e").ty("t").source("//s")
    }

    fn refusal(event: EventBuilderV10, key: &str) -> String {
        let error = of_event(&event.build().unwrap(), key).unwrap_err();
        assert!(!error.is_transient());
        error.to_string()
    }

    #[test]
    fn what_does_not_fit_is_named() {
        assert!(of_event(&event().data("text/plain", "x").build().unwrap(), "key").is_ok());
        assert!(refusal(event(), &"k".repeat(1025)).contains("the ordering key"));
        assert!(refusal(event().subject("s".repeat(1025)), "k").contains("the attribute ce-subject"));
        assert!(refusal(event().extension(&"x".repeat(260), "v"), "k").contains("the name of the attribute"));
        let many = (0..90).fold(event(), |event, n| event.extension(&format!("x{n}"), "v"));
        assert!(refusal(many, "k").contains("too many attributes"));
        let large = event().data("application/octet-stream", vec![0_u8; MAX_MESSAGE_BYTES]);
        assert!(refusal(large, "k").contains("the message is too large"));
    }
}
