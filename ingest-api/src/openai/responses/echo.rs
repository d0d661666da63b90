//! What a response says again of its request, and the turn itself does not: kept with the turn, read back on any instance.

use parlance_shared::content::TurnInput;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The part of a request that is only told again. Each field is bounded where it is read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Echo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) previous_response_id: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) background: bool,
    #[serde(skip_serializing_if = "Clone::clone")]
    pub(super) store: bool,
    /// As it was given: the provider takes another shape.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) truncation: Option<String>,
    /// The conversation began with this response.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) began: bool,
    /// So many messages of the history are those of an earlier conversation that this one is a fork of.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) forked: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Default for Echo {
    fn default() -> Self {
        Self {
            previous_response_id: None,
            background: false,
            store: true,
            tool_choice: None,
            parallel_tool_calls: None,
            reasoning: None,
            truncation: None,
            began: false,
            forked: 0,
        }
    }
}

impl Echo {
    /// What was kept. A turn that came by another protocol has the usual values.
    pub(super) fn of(input: &TurnInput) -> Self {
        input.echo.as_ref().and_then(|echo| Self::deserialize(echo).ok()).unwrap_or_default()
    }

    pub(super) fn to_value(&self) -> Option<Value> {
        serde_json::to_value(self).ok()
    }
}
