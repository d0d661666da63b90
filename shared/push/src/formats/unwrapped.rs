//! Unwrapped push with metadata: the message's data are the body, what Pub/Sub knows of it is in `x-goog-pubsub-…`
//! headers, and each attribute is a header under its own name. Our attributes are CloudEvents' (`ce-…`, `content-type`);
//! what else is among the headers came with the request and is none of the message's.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::HeaderMap;
use parlance_shared::binary_mode;

use super::PushedMessage;
use crate::problem::{Code, Problem};

/// Tells this form from the others.
pub(super) const SUBSCRIPTION: &str = "x-goog-pubsub-subscription-name";
const MESSAGE_ID: &str = "x-goog-pubsub-message-id";
const PUBLISH_TIME: &str = "x-goog-pubsub-publish-time";
const DELIVERY_ATTEMPT: &str = "x-goog-pubsub-delivery-attempt";
/// The name on Pub/Sub, and the one that Google's emulator (0.8.20) sends.
const ORDERING_KEY: [&str; 2] = ["x-goog-pubsub-ordering-key", "x-goog-ordering-key"];

pub(super) fn read(headers: &HeaderMap, body: Bytes) -> Result<PushedMessage, Problem> {
    let message_id = one(headers, MESSAGE_ID)?.ok_or_else(|| {
        Problem::with_field(MESSAGE_ID, Code::MissingField, "An unwrapped push with metadata has the message's id.")
    })?;
    let ordering_key = match one(headers, ORDERING_KEY[0])? {
        Some(key) => key,
        None => one(headers, ORDERING_KEY[1])?.unwrap_or_default(),
    };
    let number = |text: String| {
        text.parse().map_err(|_| Problem::with_field(DELIVERY_ATTEMPT, Code::InvalidHeader, "This is not a number."))
    };
    Ok(PushedMessage {
        subscription: one(headers, SUBSCRIPTION)?,
        subscription_field: SUBSCRIPTION,
        topic: None,
        message_id,
        attributes: attributes(headers),
        data: body.into(),
        published_at: one(headers, PUBLISH_TIME)?.map(|text| super::time(PUBLISH_TIME, &text)).transpose()?,
        ordering_key,
        delivery_attempt: one(headers, DELIVERY_ATTEMPT)?.map(number).transpose()?,
    })
}

/// Values are as they were published: nothing is percent-encoded, and what is not ASCII is UTF-8.
fn attributes(headers: &HeaderMap) -> BTreeMap<String, String> {
    headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with(binary_mode::PREFIX) || *name == binary_mode::CONTENT_TYPE)
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}

/// A header that is there twice was named by an attribute: which one is Pub/Sub's can't be told.
fn one(headers: &HeaderMap, name: &'static str) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(name).iter();
    let first = values.next().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    match values.next() {
        None => Ok(first),
        Some(_) => Err(Problem::with_field(name, Code::InvalidHeader, "The header is there more than once.")),
    }
}
