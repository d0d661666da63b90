//! What a client may say of a session, when it makes one and when it changes one, and what then happens: the change goes
//! to the bus, and the same idempotent projection is applied at once, so that its sender reads it back.

use chrono::{DateTime, Utc};
use parlance_shared::{
    SessionId,
    event::{SessionChanged, Strategy},
    session::Metadata,
};
use serde::Deserialize;
use tracing::warn;
use utoipa::ToSchema;

use crate::{
    bounded::bounded,
    call::Call,
    extract::{Field, RequestBody, present},
    problem::Problem,
    publish::publish,
    state::ApiState,
    validate::Faults,
};

/// A field that is absent is left alone; null clears it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionFields {
    /// What a list of conversations shows; null for none.
    #[schema(value_type = Option<String>)]
    #[serde(default, deserialize_with = "present")]
    pub(crate) heading: Option<Option<String>>,
    /// What the model is told before the conversation, at most 32768 bytes of UTF-8; null for none.
    #[schema(value_type = Option<String>)]
    #[serde(default, deserialize_with = "present")]
    pub(crate) instructions: Option<Option<String>>,
    /// Data of your own, at most 16384 bytes as JSON, without the character U+0000; null for none.
    #[schema(value_type = Option<parlance_shared::openapi::Metadata>)]
    #[serde(default, deserialize_with = "present")]
    pub(crate) metadata: Option<Option<Metadata>>,
    /// What a message does while a reply runs, unless it says so itself; null for `enqueue`.
    #[schema(value_type = Option<Strategy>)]
    #[serde(default, deserialize_with = "present")]
    pub(crate) strategy: Option<Option<String>>,
}

impl RequestBody for SessionFields {
    const FIELDS: &'static [Field] = &[
        ("heading", "a string, or null"),
        ("instructions", "a string, or null"),
        ("metadata", "an object, or null"),
        ("strategy", "one of \"enqueue\", \"interrupt\", \"reject\", or null"),
    ];
}

impl SessionFields {
    pub(crate) fn validate(&self) -> Result<(), Problem> {
        let mut faults = Faults::default();
        faults.heading(self.heading.as_ref().and_then(Option::as_deref));
        faults.instructions(self.instructions.as_ref().and_then(Option::as_deref));
        faults.metadata(self.metadata.as_ref().and_then(Option::as_ref));
        faults.strategy(self.strategy.as_ref().and_then(Option::as_deref));
        faults.into_result()
    }

    pub(crate) fn is_empty(&self) -> bool {
        let Self { heading, instructions, metadata, strategy } = self;
        heading.is_none() && instructions.is_none() && metadata.is_none() && strategy.is_none()
    }
}

/// Makes the change durable and applies it. Once it is on the bus it will come about, so a failure to apply it now is
/// not the caller's to hear of.
pub(crate) async fn change_session(
    state: &ApiState,
    call: &Call,
    session_id: SessionId,
    changed_at: DateTime<Utc>,
    fields: SessionFields,
) -> Result<SessionChanged, Problem> {
    let SessionFields { heading, instructions, metadata, strategy } = fields;
    let user_id = call.caller.user.clone();
    let change = SessionChanged {
        session_id,
        user_id,
        change_id: call.id,
        changed_at,
        heading,
        instructions,
        metadata,
        strategy: strategy.map(|word| word.as_deref().and_then(Strategy::from_word)),
    };
    publish(state, call, &change).await?;
    let applied = bounded(state.limits.apply_timeout, "store", state.store.record_session_changed(&change)).await;
    if let Err(error) = applied {
        warn!(%error, "the change was accepted and will be applied later");
    }
    Ok(change)
}
