//! A chat's name is the client's; what stands for it here follows from the user and the name.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use parlance_shared::{Caller, MessageId, SessionId, TaskId};
use tracing::Span;

use crate::{
    problem::{Code, Problem},
    state::ApiState,
};

/// The longest name of a chat or a message, in bytes.
pub(super) const MAX_NAME_BYTES: usize = 255;

/// A client's name for a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChatId(String);

/// Whether a client may name a chat or a message so.
pub(super) fn is_name(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len()) && !name.chars().any(char::is_control)
}

impl ChatId {
    pub(super) fn new(name: &str) -> Option<Self> {
        is_name(name).then(|| Self(name.to_owned()))
    }

    /// Its session, known to this call's log lines from now on.
    pub(super) fn session(&self, state: &ApiState, caller: &Caller) -> SessionId {
        let session = state.mint.derive(&caller.user, &format!("ui chat {}", self.0));
        Span::current().record("session_id", tracing::field::display(session));
        session
    }

    /// What the ids of a message's turn are derived from. No idempotency key of a client's has a space.
    pub(super) fn key(&self, message: &str) -> String {
        format!("ui message {} {} {message}", self.0.len(), self.0)
    }

    /// The task of a message that was sent for the first time.
    pub(super) fn task(&self, state: &ApiState, caller: &Caller, message: &str) -> TaskId {
        state.mint.derive(&caller.user, &self.key(message))
    }

    /// A user's message, by the client's name for it or by our own id, which a loaded history has.
    pub(super) fn message(&self, state: &ApiState, caller: &Caller, name: &str) -> MessageId {
        let ours = name.parse().ok().filter(|id| state.mint.made_for(&caller.user, *id));
        ours.unwrap_or_else(|| state.mint.derive(&caller.user, &self.key(name)))
    }
}

impl FromRequestParts<Arc<ApiState>> for ChatId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<ApiState>) -> Result<Self, Problem> {
        let name = Path::<String>::from_request_parts(parts, state).await.ok().and_then(|Path(name)| Self::new(&name));
        name.ok_or_else(|| Problem::new(Code::SessionNotFound, "No chat can have this id."))
    }
}
