//! A message that is no CloudEvent can't be a dead letter as it is: a stand-in holds all of it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use cloudevents::{Event, EventBuilder as _, EventBuilderV10};
use serde_json::json;

use crate::formats::PushedMessage;

/// The stand-in's type. No consumer knows it: redriven, it becomes a dead letter again.
const TYPE: &str = "parlance.unreadable.v1";

const PUBSUB: &str = "//pubsub.googleapis.com";

/// An event with the message's attributes and (Base64) data in its own data.
pub(crate) fn stand_in(message: &PushedMessage, published_at: DateTime<Utc>) -> Event {
    let build = |source: String| {
        EventBuilderV10::new()
            .id(message.message_id.as_str())
            .ty(TYPE)
            .source(source)
            .time(published_at)
            .data("application/json", json!({"attributes": message.attributes, "data": STANDARD.encode(&message.data)}))
            .build()
    };
    // A name that is no part of a URI is left out. With Pub/Sub's alone, nothing can fail.
    let named = message.subscription.as_deref().map(|name| build(format!("{PUBSUB}/{name}")));
    named.and_then(Result::ok).or_else(|| build(PUBSUB.to_owned()).ok()).unwrap_or_default()
}
