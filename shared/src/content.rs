//! What the two sides of a turn are made of beyond plain text: parts of a message, calls of tools and their results, and what
//! is passed through to the provider.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::TaskId;

/// A part of a user's message, in the shape of OpenAI's chat completions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
pub struct ImageUrl {
    /// An `https:` address that the provider fetches, or a `data:` URI that holds the image.
    pub url: String,
    /// How closely the model should look: `auto`, `low` or `high`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// A tool that the model wants called. The client calls it; its next message brings the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
}

impl TurnInput {
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
