//! The three forms in which a message arrives by HTTP, read into one.

mod eventarc;
mod unwrapped;
mod wrapped;

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::HeaderMap;

use crate::problem::{Code, Problem};

/// A message, however it came.
#[derive(Debug, PartialEq)]
pub(crate) struct PushedMessage {
    /// `projects/P/subscriptions/S`.
    pub(crate) subscription: Option<String>,
    /// Where the request names the subscription, for whoever has to mend it.
    pub(crate) subscription_field: &'static str,
    /// `//pubsub.googleapis.com/projects/P/topics/T`, where the request says so.
    pub(crate) topic: Option<String>,
    pub(crate) message_id: String,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) data: Vec<u8>,
    pub(crate) published_at: Option<DateTime<Utc>>,
    /// Empty for a message without one. (Google's emulator never says.)
    pub(crate) ordering_key: String,
    /// Only on subscriptions with a policy of dead letters, and not in every form.
    pub(crate) delivery_attempt: Option<u32>,
}

impl PushedMessage {
    pub(crate) fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Tells the forms apart by their headers. An unwrapped push is looked for first: it carries our own `ce-…` attributes
/// as headers, and so looks like a CloudEvent in binary mode.
pub(crate) fn read(headers: &HeaderMap, body: Bytes) -> Result<PushedMessage, Problem> {
    if headers.contains_key(unwrapped::SUBSCRIPTION) {
        unwrapped::read(headers, body)
    } else if headers.contains_key(eventarc::TYPE) {
        eventarc::read(headers, body)
    } else {
        wrapped::read(&body)
    }
}

fn time(field: &'static str, text: &str) -> Result<DateTime<Utc>, Problem> {
    DateTime::parse_from_rfc3339(text).map(|time| time.to_utc()).map_err(|_| {
        Problem::with_field(field, Code::InvalidField, "This is not a time such as 2026-11-21T07:51:14.847Z.")
    })
}
