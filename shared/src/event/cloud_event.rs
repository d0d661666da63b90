//! Facts as CloudEvents, and back.

use cloudevents::{AttributesReader as _, Data, Event, EventBuilder as _, EventBuilderV10};

use super::DomainEvent;
use crate::CallId;

/// The extension attribute that carries the id of the HTTP call which began it all.
pub const CALL_ID_EXTENSION: &str = "callid";

/// Why an event can't be made or read.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// Of a type that the consumer does not know.
    #[error("the event's type {0:?} is not known here")]
    UnknownType(String),
    /// Its data do not have the type's shape.
    #[error("the event's data can't be read: {0}")]
    BadData(String),
    /// It can't be built.
    #[error("the event can't be built: {0}")]
    Build(String),
}

/// Wraps a fact as a CloudEvent. `source` names the service, e.g. `ingest-api`.
///
/// # Errors
/// [`EventError::Build`] when the data can't be serialised; not for the types of these modules.
pub fn to_cloud_event<E: DomainEvent>(fact: &E, source: &str, call: Option<CallId>) -> Result<Event, EventError> {
    let data = serde_json::to_value(fact).map_err(|e| EventError::Build(e.to_string()))?;
    let mut builder = EventBuilderV10::new()
        .id(fact.id())
        .ty(E::TYPE)
        .source(format!("//parlance/{source}"))
        .subject(fact.subject())
        .time(fact.time())
        .data("application/json", data);
    if let Some(call) = call {
        builder = builder.extension(CALL_ID_EXTENSION, call.to_string());
    }
    builder.build().map_err(|e| EventError::Build(e.to_string()))
}

/// Reads the data of a CloudEvent whose type was checked.
///
/// # Errors
/// [`EventError::UnknownType`] for another type, [`EventError::BadData`] for data of another shape.
pub fn from_cloud_event<E: DomainEvent>(event: &Event) -> Result<E, EventError> {
    if event.ty() != E::TYPE {
        return Err(EventError::UnknownType(event.ty().to_owned()));
    }
    let parsed = match event.data() {
        Some(Data::Json(value)) => E::deserialize(value),
        Some(Data::String(text)) => serde_json::from_str(text),
        Some(Data::Binary(bytes)) => serde_json::from_slice(bytes),
        None => return Err(EventError::BadData("there is none".into())),
    };
    parsed.map_err(|e| EventError::BadData(e.to_string()))
}

/// The call that began it all, if the event says.
pub fn call_id(event: &Event) -> Option<CallId> {
    event.extension(CALL_ID_EXTENSION).and_then(|value| value.to_string().parse().ok())
}
