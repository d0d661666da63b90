//! What a session's memory asks for and makes: summaries and headings.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::DomainEvent;
use crate::{SessionId, TaskId, UserId, port::turns::Summary, task::Usage};

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
    /// The model that found it.
    #[serde(default)]
    pub model: Option<String>,
    /// The tokens of finding it.
    #[serde(default)]
    pub usage: Usage,
    /// What they cost, in millionths of a US dollar, by the price table; null when the model's price is not known.
    #[serde(default)]
    pub cost_micro_usd: Option<u64>,
    /// The turn that it was made from.
    #[serde(default)]
    pub through: Option<TaskId>,
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
