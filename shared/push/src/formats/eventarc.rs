//! Eventarc: a CloudEvent in binary mode whose data are a wrapped push, from a subscription that Eventarc made for itself.

use bytes::Bytes;
use cloudevents::{AttributesReader as _, Data, binding::http::to_event};
use http::HeaderMap;

use super::{PushedMessage, wrapped};
use crate::problem::{Code, Problem};

/// Tells this form from the others.
pub(super) const TYPE: &str = "ce-type";

/// The one event that a trigger on a topic sends.
const PUBLISHED: &str = "google.cloud.pubsub.topic.v1.messagePublished";

pub(super) fn read(headers: &HeaderMap, body: Bytes) -> Result<PushedMessage, Problem> {
    let event = to_event(headers, body.into()).map_err(|error| {
        Problem::with_field(
            "ce-specversion",
            Code::InvalidHeader,
            "The headers are not those of a CloudEvent in binary mode.",
        )
        .caused_by(error.to_string())
    })?;
    if event.ty() != PUBLISHED {
        let detail = format!("Eventarc triggers send {PUBLISHED}.");
        return Err(Problem::with_field(TYPE, Code::InvalidHeader, detail));
    }
    let topic = event.source().to_string();
    let message = match event.data() {
        // JSON stays unparsed in binary mode.
        Some(Data::Binary(bytes)) => wrapped::read(bytes)?,
        Some(Data::String(text)) => wrapped::read(text.as_bytes())?,
        Some(Data::Json(value)) => wrapped::read(value.to_string().as_bytes())?,
        None => wrapped::read(b"")?,
    };
    Ok(PushedMessage { topic: Some(topic), ..message })
}
