//! The events on the bus, as CloudEvents 1.0 with JSON data.
//!
//! Each event's id is derived from what it is about, so that publishing it again is the same event.

mod cloud_event;
mod memory;
mod message_submitted;
mod reply_completed;
mod session;
mod webhook_due;

use chrono::{DateTime, Utc};
use serde::{Serialize, de::DeserializeOwned};

pub use self::{
    cloud_event::{CALL_ID_EXTENSION, EventError, call_id, from_cloud_event, to_cloud_event},
    memory::{HeadingMade, HeadingRequested, SummaryMade, SummaryRequested},
    message_submitted::{MessageSubmitted, Strategy},
    reply_completed::ReplyCompleted,
    session::{SessionChanged, SessionDeleted},
    webhook_due::WebhookDue,
};

/// An event with a type and an identity.
pub trait DomainEvent: Serialize + DeserializeOwned + Send + Sync {
    /// The CloudEvents `type`.
    const TYPE: &'static str;
    /// The CloudEvents `id`: the same for the same fact.
    fn id(&self) -> String;
    /// The CloudEvents `subject`: what it is about.
    fn subject(&self) -> String;
    /// When the fact came to be.
    fn time(&self) -> DateTime<Utc>;
    /// Events of one key are consumed in order.
    fn ordering_key(&self) -> String;
}

#[cfg(test)]
mod tests {
    use cloudevents::Event;
    use uuid::Uuid;

    use super::*;
    use crate::{CallId, SessionId, UserId, id::PrefixedId as _, session::Metadata};

    #[test]
    fn a_change_round_trips_with_absent_null_and_set_fields() {
        let call = CallId::from_uuid(Uuid::now_v7());
        let change = SessionChanged {
            session_id: SessionId::from_uuid(Uuid::now_v7()),
            user_id: UserId::new("alice"),
            change_id: call,
            changed_at: DateTime::UNIX_EPOCH,
            heading: None,
            instructions: Some(None),
            metadata: Some(Some(Metadata::new())),
            strategy: Default::default(),
        };
        let event = to_cloud_event(&change, "ingest-api", Some(call)).unwrap();
        let stored: Event = serde_json::from_str(&serde_json::to_string(&event).unwrap()).unwrap();
        assert_eq!(from_cloud_event::<SessionChanged>(&stored).unwrap(), change);
        assert_eq!(call_id(&stored), Some(call));
        assert!(matches!(from_cloud_event::<SessionDeleted>(&stored), Err(EventError::UnknownType(_))));
    }
}
