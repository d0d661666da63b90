//! The events on the bus, as CloudEvents 1.0 with JSON data.
//!
//! Each event's id is derived from what it is about, so that publishing it again is the same event.

use chrono::{DateTime, Utc};
use cloudevents::{AttributesReader as _, Data, Event, EventBuilder as _, EventBuilderV10};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    CallId, MessageId, SessionId, TaskId, UserId,
    content::TurnInput,
    port::turns::Summary,
    session::Metadata,
    task::{Task, Usage},
};

/// The extension attribute that carries the id of the HTTP call which began it all.
pub const CALL_ID_EXTENSION: &str = "callid";

/// How a message that arrives while a reply runs is treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// It waits its turn.
    #[default]
    Enqueue,
    /// What runs or waits in the session is cancelled; what was said by then is kept.
    Interrupt,
    /// It is refused.
    Reject,
}

impl Strategy {
    /// The word as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enqueue => "enqueue",
            Self::Interrupt => "interrupt",
            Self::Reject => "reject",
        }
    }

    /// The strategy that a word means.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Enqueue, Self::Interrupt, Self::Reject].into_iter().find(|strategy| strategy.as_str() == word)
    }
}

/// A user's message was accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageSubmitted {
    /// The turn.
    pub task_id: TaskId,
    /// The conversation.
    pub session_id: SessionId,
    /// The message.
    pub message_id: MessageId,
    /// The id that the reply will have.
    pub reply_message_id: MessageId,
    /// Who sent it.
    pub user_id: UserId,
    /// The text.
    pub content: String,
    /// The model asked for.
    pub model: Option<String>,
    /// What to do while a reply runs.
    pub strategy: Strategy,
    /// The client's own data.
    pub metadata: Option<Metadata>,
    /// When it was accepted, to the microsecond: the session's messages are listed in this order.
    pub accepted_at: DateTime<Utc>,
    /// Hash of the request, when it came with an idempotency key.
    pub fingerprint: Option<String>,
    /// What it asks beyond its text.
    #[serde(default, skip_serializing_if = "TurnInput::is_plain")]
    pub input: TurnInput,
}

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

/// A task reached its end: completed, failed or cancelled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplyCompleted {
    /// Its owner.
    pub user_id: UserId,
    /// The conversation.
    pub session_id: SessionId,
    /// The task with the whole reply.
    pub task: Task,
}

/// The older turns of a session are to be folded into its summary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SummaryRequested {
    /// The conversation.
    pub session_id: SessionId,
    /// Its owner.
    pub user_id: UserId,
    /// The version that the new summary will have: one above that of the checkpoint which had grown too large.
    pub version: u32,
    /// When.
    pub requested_at: DateTime<Utc>,
}

/// A session has a new summary; its checkpoint has it already.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SummaryMade {
    /// The conversation.
    pub session_id: SessionId,
    /// Its owner.
    pub user_id: UserId,
    /// The summary.
    pub summary: Summary,
    /// The model that wrote it.
    pub model: Option<String>,
    /// The tokens of making it.
    pub usage: Usage,
    /// What they cost, in millionths of a US dollar, by the price table; null when the model's price is not known.
    #[serde(default)]
    pub cost_micro_usd: Option<u64>,
}

/// A session needs a heading, from its first exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadingRequested {
    /// The conversation.
    pub session_id: SessionId,
    /// Its owner.
    pub user_id: UserId,
    /// When.
    pub requested_at: DateTime<Utc>,
}

/// A heading was found for a session; its owner's own goes before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadingMade {
    /// The conversation.
    pub session_id: SessionId,
    /// Its owner.
    pub user_id: UserId,
    /// The heading.
    pub heading: String,
    /// When it was made.
    pub made_at: DateTime<Utc>,
}

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

impl DomainEvent for MessageSubmitted {
    const TYPE: &'static str = "parlance.message.submitted.v1";
    fn id(&self) -> String {
        format!("{}.submitted", self.task_id)
    }
    fn subject(&self) -> String {
        self.task_id.to_string()
    }
    fn time(&self) -> DateTime<Utc> {
        self.accepted_at
    }
    fn ordering_key(&self) -> String {
        self.session_id.to_string()
    }
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

impl DomainEvent for ReplyCompleted {
    const TYPE: &'static str = "parlance.reply.completed.v1";
    fn id(&self) -> String {
        // A failed task that an operator reopens ends again, under a later attempt.
        format!("{}.{}.{}", self.task.id, self.task.attempt, self.task.status.as_str())
    }
    fn subject(&self) -> String {
        self.task.id.to_string()
    }
    fn time(&self) -> DateTime<Utc> {
        self.task.timings.finished_at.unwrap_or_default()
    }
    fn ordering_key(&self) -> String {
        self.session_id.to_string()
    }
}

impl DomainEvent for SummaryRequested {
    const TYPE: &'static str = "parlance.summary.requested.v1";
    fn id(&self) -> String {
        format!("{}.summary.{}.requested", self.session_id, self.version)
    }
    fn subject(&self) -> String {
        self.session_id.to_string()
    }
    fn time(&self) -> DateTime<Utc> {
        self.requested_at
    }
    fn ordering_key(&self) -> String {
        self.session_id.to_string()
    }
}

impl DomainEvent for SummaryMade {
    const TYPE: &'static str = "parlance.summary.made.v1";
    fn id(&self) -> String {
        format!("{}.summary.{}", self.session_id, self.summary.version)
    }
    fn subject(&self) -> String {
        self.session_id.to_string()
    }
    fn time(&self) -> DateTime<Utc> {
        self.summary.made_at
    }
    fn ordering_key(&self) -> String {
        self.session_id.to_string()
    }
}

impl DomainEvent for HeadingRequested {
    const TYPE: &'static str = "parlance.heading.requested.v1";
    fn id(&self) -> String {
        format!("{}.heading.requested", self.session_id)
    }
    fn subject(&self) -> String {
        self.session_id.to_string()
    }
    fn time(&self) -> DateTime<Utc> {
        self.requested_at
    }
    fn ordering_key(&self) -> String {
        self.session_id.to_string()
    }
}

impl DomainEvent for HeadingMade {
    const TYPE: &'static str = "parlance.heading.made.v1";
    fn id(&self) -> String {
        format!("{}.heading", self.session_id)
    }
    fn subject(&self) -> String {
        self.session_id.to_string()
    }
    fn time(&self) -> DateTime<Utc> {
        self.made_at
    }
    fn ordering_key(&self) -> String {
        self.session_id.to_string()
    }
}

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
/// [`EventError::Build`] when the data can't be serialised; not for the types of this module.
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

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::id::PrefixedId as _;

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
