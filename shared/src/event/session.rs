//! What an owner does to a session.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{DomainEvent, Strategy};
use crate::{CallId, SessionId, UserId, session::Metadata};

/// A session was made or changed. A field that is absent was left alone; `null` clears it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionChanged {
    /// The conversation.
    pub session_id: SessionId,
    /// Its owner.
    pub user_id: UserId,
    /// Names this change.
    pub change_id: CallId,
    /// When it was made.
    pub changed_at: DateTime<Utc>,
    /// A new heading.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "present")]
    pub heading: Option<Option<String>>,
    /// New instructions.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "present")]
    pub instructions: Option<Option<String>>,
    /// New metadata.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "present")]
    pub metadata: Option<Option<Metadata>>,
    /// What a message does while a reply runs, unless it says so itself.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "present")]
    pub strategy: Option<Option<Strategy>>,
}

/// A session was deleted by its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionDeleted {
    /// The conversation.
    pub session_id: SessionId,
    /// Its owner.
    pub user_id: UserId,
    /// When.
    pub deleted_at: DateTime<Utc>,
}

impl DomainEvent for SessionChanged {
    const TYPE: &'static str = "parlance.session.changed.v1";
    fn id(&self) -> String {
        format!("{}.{}", self.session_id, self.change_id)
    }
    fn subject(&self) -> String {
        self.session_id.to_string()
    }
    fn time(&self) -> DateTime<Utc> {
        self.changed_at
    }
    fn ordering_key(&self) -> String {
        self.session_id.to_string()
    }
}

impl DomainEvent for SessionDeleted {
    const TYPE: &'static str = "parlance.session.deleted.v1";
    fn id(&self) -> String {
        format!("{}.deleted", self.session_id)
    }
    fn subject(&self) -> String {
        self.session_id.to_string()
    }
    fn time(&self) -> DateTime<Utc> {
        self.deleted_at
    }
    fn ordering_key(&self) -> String {
        self.session_id.to_string()
    }
}

/// Tells an absent field (`None`) from `null` (`Some(None)`).
mod present {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(value: &Option<Option<T>>, s: S) -> Result<S::Ok, S::Error> {
        value.as_ref().and_then(Option::as_ref).serialize(s)
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<Option<T>>, D::Error> {
        Option::<T>::deserialize(d).map(Some)
    }
}
