//! Messages of a session, as its owner reads them back.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    MessageId, SessionId, TaskId,
    content::{ContentPart, ToolCall, ToolResult},
    task::{Status, Timings, Usage},
};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The owner of the session.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// The word as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// One stored message. A user's message has the status of its task; usage and timings stand at the reply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// The conversation.
    pub session_id: SessionId,
    /// The turn it belongs to.
    pub task_id: TaskId,
    /// Who speaks.
    pub role: Role,
    /// The text.
    pub content: String,
    /// Where its task stands.
    pub status: Status,
    /// Tokens, at a reply.
    pub usage: Option<Usage>,
    /// When what happened, at a reply.
    pub timings: Option<Timings>,
    /// When it was accepted (user) or stored (assistant).
    pub created_at: DateTime<Utc>,
    /// What a user's message was made of, when it was more than plain text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<ContentPart>,
    /// Results of tools that came with a user's message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_results: Vec<ToolResult>,
    /// The tools that a reply called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// The task whose turn stands in for this one's, or null; absent in a list of the current branch, where none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<TaskId>))]
    pub superseded_by: Option<Option<TaskId>>,
}
