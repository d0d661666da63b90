//! A CloudEvent as a Pub/Sub message: attributes in binary mode (`ce-…`), the data as the message's bytes. What pulls,
//! pushes and publishes reads and writes the same form, so that any subscriber with a CloudEvents library can read it.
//! The trace is there under its plain names, too, for tools that know nothing of CloudEvents; it is not read from there.

use std::collections::BTreeMap;

use cloudevents::{AttributesReader as _, Data, Event, EventBuilder as _, EventBuilderV10};

use crate::{
    event::EventError,
    trace::{TRACEPARENT, TRACESTATE},
};

/// Before the names of a CloudEvent's attributes.
pub const PREFIX: &str = "ce-";

/// The attribute with the data's media type.
pub const CONTENT_TYPE: &str = "content-type";

/// The attributes and the data of a message.
///
/// # Errors
/// [`EventError::Build`] when the data can't be serialised; not for the events of this crate.
pub fn to_message(event: &Event) -> Result<(BTreeMap<String, String>, Vec<u8>), EventError> {
    let mut attributes = BTreeMap::new();
    let mut put = |name: &str, value: String| attributes.insert(format!("{PREFIX}{name}"), value);
    put("specversion", event.specversion().to_string());
    put("id", event.id().to_owned());
    put("type", event.ty().to_owned());
    put("source", event.source().to_string());
    if let Some(subject) = event.subject() {
        put("subject", subject.to_owned());
    }
    if let Some(time) = event.time() {
        put("time", time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true));
    }
    for (name, value) in event.iter_extensions() {
        put(name, value.to_string());
    }
    for name in [TRACEPARENT, TRACESTATE] {
        if let Some(value) = event.extension(name) {
            attributes.insert(name.to_owned(), value.to_string());
        }
    }
    if let Some(media_type) = event.datacontenttype() {
        attributes.insert(CONTENT_TYPE.to_owned(), media_type.to_owned());
    }
    let data = match event.data() {
        None => Vec::new(),
        Some(Data::Binary(bytes)) => bytes.clone(),
        Some(Data::String(text)) => text.clone().into_bytes(),
        Some(Data::Json(value)) => serde_json::to_vec(value).map_err(|error| EventError::Build(error.to_string()))?,
    };
    Ok((attributes, data))
}

/// The event of a message. JSON data that can't be parsed stay bytes: whoever needs them says what is wrong.
///
/// # Errors
/// [`EventError::Build`] when attributes that every CloudEvent has are missing or malformed.
pub fn from_message<'a>(
    attributes: impl IntoIterator<Item = (&'a str, &'a str)>,
    data: Vec<u8>,
) -> Result<Event, EventError> {
    let mut builder = EventBuilderV10::new();
    let mut media_type = None;
    for (name, value) in attributes {
        let Some(name) = name.strip_prefix(PREFIX) else {
            if name == CONTENT_TYPE {
                media_type = Some(value.to_owned());
            }
            continue;
        };
        builder = match name {
            "specversion" if value != "1.0" => {
                return Err(EventError::Build(format!("{PREFIX}specversion is {value:?}, not 1.0")));
            }
            "specversion" => builder,
            "id" => builder.id(value),
            "type" => builder.ty(value),
            "source" => builder.source(value),
            "subject" => builder.subject(value),
            "time" => builder.time(value),
            extension => builder.extension(extension, value.to_owned()),
        };
    }
    let builder = match media_type {
        _ if data.is_empty() => builder,
        Some(media_type) => match is_json(&media_type).then(|| serde_json::from_slice::<serde_json::Value>(&data)) {
            Some(Ok(value)) => builder.data(media_type, value),
            _ => builder.data(media_type, data),
        },
        None => builder.data("application/octet-stream", data),
    };
    builder.build().map_err(|error| EventError::Build(error.to_string()))
}

fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        CallId, SessionId, UserId,
        event::{SessionDeleted, call_id, from_cloud_event, to_cloud_event},
        id::PrefixedId as _,
    };

    #[test]
    fn an_event_survives_the_wire() {
        let call = CallId::from_uuid(Uuid::now_v7());
        let fact = SessionDeleted {
            session_id: SessionId::from_uuid(Uuid::now_v7()),
            user_id: UserId::new("jürgen \u{1F30D}"),
            deleted_at: chrono::DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap(),
        };
        let event = to_cloud_event(&fact, "ingest-api", Some(call)).unwrap();
        let (attributes, data) = to_message(&event).unwrap();
        assert_eq!(attributes["ce-specversion"], "1.0");
        assert_eq!(attributes["content-type"], "application/json");
        let read = from_message(attributes.iter().map(|(k, v)| (k.as_str(), v.as_str())), data).unwrap();
        assert_eq!(read, event);
        assert_eq!(from_cloud_event::<SessionDeleted>(&read).unwrap(), fact);
        assert_eq!(call_id(&read), Some(call));
    }

    #[test]
    fn what_is_no_event_is_refused_and_broken_json_stays_bytes() {
        assert!(from_message([("x", "y")], b"hi".to_vec()).is_err());
        let attributes = [("ce-id", "1"), ("ce-type", "t"), ("ce-source", "//s"), ("content-type", "application/json")];
        let event = from_message(attributes, b"{".to_vec()).unwrap();
        assert_eq!(event.data(), Some(&Data::Binary(b"{".to_vec())));
    }
}
