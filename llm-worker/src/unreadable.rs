//! A request that can't be read any more, e.g. from a version that was rolled back: its task must end all the same.

use cloudevents::{AttributesReader as _, Data, Event};
use parlance_shared::{
    MessageId,
    content::TurnInput,
    event::{EventError, MessageSubmitted, Strategy},
    id::PrefixedId as _,
    port::bus::{Outcome, Reason, Received},
    task::codes,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Worker, failure::Failure, give_up::end_as_failed};

/// Ends the task as failed, as far as its ids can be read, and gives the message up.
pub(crate) async fn end_unreadable(worker: &Worker, received: &Received, error: &EventError) -> Outcome {
    let reason = Reason::new(codes::UNREADABLE_REQUEST, error.to_string());
    let Some(message) = salvage(received) else { return Outcome::Fail(reason) };
    match end_as_failed(worker, received, &message, Failure::unreadable_request()).await {
        Ok(()) => Outcome::Fail(reason),
        Err(error) if error.is_transient() => {
            Outcome::Retry { after: None, reason: Reason::new("store_unavailable", error.to_string()) }
        }
        Err(error) => Outcome::Fail(Reason::new(codes::UNREADABLE_REQUEST, error.to_string())),
    }
}

/// What can still be read, with an empty text. Without its own ids, the message is named after its task: no other row can
/// have that id, as nobody else can read the message either.
pub(crate) fn salvage(received: &Received) -> Option<MessageSubmitted> {
    let data = json(&received.event)?;
    let task_id = field(&data, "task_id")?;
    let named_after = |task: parlance_shared::TaskId| MessageId::from_uuid(task.uuid());
    Some(MessageSubmitted {
        task_id,
        session_id: field(&data, "session_id")?,
        user_id: field(&data, "user_id")?,
        message_id: field(&data, "message_id").unwrap_or_else(|| named_after(task_id)),
        reply_message_id: field(&data, "reply_message_id").unwrap_or_else(|| named_after(task_id)),
        content: String::new(),
        model: None,
        strategy: Strategy::default(),
        metadata: None,
        accepted_at: field(&data, "accepted_at")
            .or_else(|| received.event.time().copied())
            .unwrap_or(received.published_at),
        fingerprint: field(&data, "fingerprint").flatten(),
        // Whoever waits for the end is told of this one, too.
        input: TurnInput {
            webhook: data.get("input").and_then(|input| field(input, "webhook")),
            ..TurnInput::default()
        },
        looked_at: None,
    })
}

fn field<T: DeserializeOwned>(data: &Value, name: &str) -> Option<T> {
    data.get(name).and_then(|value| T::deserialize(value).ok())
}

fn json(event: &Event) -> Option<Value> {
    match event.data()? {
        Data::Json(value) => Some(value.clone()),
        Data::String(text) => serde_json::from_str(text).ok(),
        Data::Binary(bytes) => serde_json::from_slice(bytes).ok(),
    }
}
