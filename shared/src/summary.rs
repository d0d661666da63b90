//! A version of a session's summary, as its owner sees it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{SessionId, TaskId, task::Usage};

/// What was said in a session up to some turn, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = Summary))]
pub struct StoredSummary {
    /// The conversation.
    pub session_id: SessionId,
    /// From 1; each version stands in for the one before.
    pub version: u32,
    /// It.
    pub text: String,
    /// How many turns it covers.
    pub turns: u32,
    /// The latest turn that it covers.
    pub through_task_id: TaskId,
    /// How long it is, in tokens, as counted or estimated.
    pub tokens: u32,
    /// When it was made.
    pub made_at: DateTime<Utc>,
    /// The model that wrote it; null when that is not known.
    pub model: Option<String>,
    /// The tokens of making it.
    pub usage: Usage,
}
