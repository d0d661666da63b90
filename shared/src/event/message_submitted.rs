//! A message that was accepted, and how it stands to what runs already.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::DomainEvent;
use crate::{MessageId, SessionId, TaskId, UserId, content::TurnInput, session::Metadata};

/// How a message that arrives while a reply runs is treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
    /// When it was found that nothing waits or runs in the session, by the clock that turns end by. Only of a message that is
    /// accepted for that reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_at: Option<DateTime<Utc>>,
}

impl MessageSubmitted {
    /// Whether it is accepted only where nothing waits or runs: it says so itself, or it stands in for an earlier turn, which
    /// must not change meanwhile.
    pub fn is_exclusive(&self) -> bool {
        match self.strategy {
            Strategy::Reject => true,
            Strategy::Enqueue => self.input.replaces.is_some(),
            Strategy::Interrupt => false,
        }
    }
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
