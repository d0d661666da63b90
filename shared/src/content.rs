//! What the two sides of a turn are made of beyond plain text: parts of a message, calls of tools and their results, and what
//! is passed through to the provider.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{TaskId, port::llm::PromptMessage};

/// A part of a user's message, in the shape of OpenAI's chat completions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ContentPart {
    /// Text.
    Text {
        /// It.
        text: String,
    },
    /// An image.
    ImageUrl {
        /// Where it is.
        image_url: ImageUrl,
    },
}

/// Where an image is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImageUrl {
    /// An `https:` address that the provider fetches, or a `data:` URI that holds the image.
    pub url: String,
    /// How closely the model should look: `auto`, `low` or `high`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// A tool that the model wants called. The client calls it; its next message brings the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ToolCall {
    /// Names this call.
    pub id: String,
    /// The tool.
    pub name: String,
    /// Its arguments: JSON, as the model wrote it, which need not be valid.
    pub arguments: String,
}

/// What a tool gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ToolResult {
    /// The call that it answers.
    pub tool_call_id: String,
    /// What the model is told.
    pub content: String,
}

/// What a message asks beyond its text. Kept with the message, so that a replay asks the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TurnInput {
    /// The message's parts, when it was more than plain text; their text is the message's content as well.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<ContentPart>,
    /// Results of the tools that the reply before called.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_results: Vec<ToolResult>,
    /// Tools that the model may call, as the provider takes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<Value>,
    /// Which of them it must or may call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<Value>,
    /// The form of the reply, such as a JSON schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_format: Option<Value>,
    /// The turn that this one stands in for, with all that came after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Replaced>,
    /// What was said before this message, as the client tells it. Not empty: the session's own memory is left out of the
    /// prompt, and this turn is remembered with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<PromptMessage>,
    /// `history` comes after what the session remembers, and not in its place.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub history_follows: bool,
    /// What the model is told before the conversation, in place of the session's instructions; of this turn alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// What the provider is given as it came: temperature and the like.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Value>,
    /// The most tokens that the reply may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u32>,
    /// The protocol that the message came by.
    #[serde(skip_serializing_if = "Protocol::is_native")]
    pub protocol: Protocol,
    /// What that protocol wants told again with the reply, of no meaning to anyone else: a small JSON value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub echo: Option<Value>,
    /// Who is told when the task has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
}

/// A client protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Parlance's own.
    #[default]
    Native,
    /// `/v1/chat/completions`.
    ChatCompletions,
    /// `/v1/responses`.
    Responses,
    /// `/v1/ui/chat`.
    UiChat,
}

impl Protocol {
    /// Whether it is our own.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    fn is_native(&self) -> bool {
        *self == Self::Native
    }
}

/// Where the end of a task is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// The address.
    pub url: String,
    /// Whose secret signs: the id of the key that was called with; none for the user's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
}

impl TurnInput {
    /// Whether `history` stands in for what the session remembers.
    pub fn tells_all(&self) -> bool {
        !self.history.is_empty() && !self.history_follows
    }

    /// As one JSON object, for a column; `None` when there is nothing to keep.
    pub fn to_column(&self) -> Option<String> {
        (!self.is_plain()).then(|| serde_json::to_string(self).unwrap_or_default())
    }

    /// What a column holds.
    ///
    /// # Errors
    /// When it is not what [`TurnInput::to_column`] gives: the message can't be asked again without it.
    pub fn from_column(column: Option<&str>) -> Result<Self, serde_json::Error> {
        column.map_or_else(|| Ok(Self::default()), serde_json::from_str)
    }

    /// Whether there is nothing beyond the text.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// A turn that another one stands in for: its reply is wanted anew, or its message was edited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// The turn.
    pub task_id: TaskId,
    /// When it was accepted: what was accepted since, up to the new turn, is no longer part of the conversation.
    pub accepted_at: DateTime<Utc>,
}
