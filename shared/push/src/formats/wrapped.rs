//! Wrapped push: a JSON object with the message, its data in Base64. Also the body of Eventarc's requests.

use std::{borrow::Cow, collections::BTreeMap};

use base64::{
    Engine as _,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::Deserialize;

use super::PushedMessage;
use crate::problem::{Code, Problem};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wrapper<'a> {
    subscription: Option<String>,
    #[serde(borrow)]
    message: Option<Message<'a>>,
    delivery_attempt: Option<u32>,
}

/// Each name comes in camel case and in snake case; one is enough.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    data: Option<Cow<'a, str>>,
    attributes: Option<BTreeMap<String, String>>,
    #[serde(rename = "messageId")]
    message_id: Option<String>,
    #[serde(rename = "message_id")]
    message_id_snake: Option<String>,
    #[serde(rename = "publishTime")]
    publish_time: Option<String>,
    #[serde(rename = "publish_time")]
    publish_time_snake: Option<String>,
    #[serde(rename = "orderingKey")]
    ordering_key: Option<String>,
}

pub(super) fn read(body: &[u8]) -> Result<PushedMessage, Problem> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let wrapper: Wrapper<'_> = serde_path_to_error::deserialize(&mut json).map_err(|error| wrong(body, &error))?;
    json.end().map_err(|_| Problem::with_field("body", Code::InvalidJson, NOT_JSON))?;
    let Some(message) = wrapper.message else {
        return Err(Problem::with_field("message", Code::MissingField, NOT_A_PUSH));
    };
    let message_id = message.message_id.or(message.message_id_snake).ok_or_else(|| {
        Problem::with_field("message.messageId", Code::MissingField, "A pushed message has an id, given by Pub/Sub.")
    })?;
    let publish_time = message.publish_time.or(message.publish_time_snake);
    Ok(PushedMessage {
        subscription: wrapper.subscription,
        subscription_field: "subscription",
        topic: None,
        message_id,
        attributes: message.attributes.unwrap_or_default(),
        data: match message.data {
            Some(text) => BASE64
                .decode(text.as_bytes())
                .map_err(|_| Problem::with_field("message.data", Code::InvalidField, "This is not Base64."))?,
            None => Vec::new(),
        },
        published_at: publish_time.map(|text| super::time("message.publishTime", &text)).transpose()?,
        ordering_key: message.ordering_key.unwrap_or_default(),
        delivery_attempt: wrapper.delivery_attempt,
    })
}

/// An unwrapped push without metadata can't be told from any other body.
const NOT_A_PUSH: &str = "The body has no `message`, so it is not a wrapped push, and the headers are not those of an \
    unwrapped one. A push subscription that unwraps its messages must also write their metadata: \
    --push-no-wrapper-write-metadata.";

fn wrong(body: &[u8], error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    if error.inner().is_data() {
        if !body.trim_ascii_start().starts_with(b"{") {
            return Problem::with_field("message", Code::MissingField, NOT_A_PUSH);
        }
        return Problem::with_field(
            error.path().to_string(),
            Code::InvalidField,
            "The value is not of the type that Pub/Sub sends.",
        );
    }
    Problem::with_field("body", Code::InvalidJson, NOT_JSON)
}

const NOT_JSON: &str = "The body is not JSON, so it is not a wrapped push, and the headers are not those of an unwrapped \
    one. A push subscription that unwraps its messages must also write their metadata: \
    --push-no-wrapper-write-metadata.";
