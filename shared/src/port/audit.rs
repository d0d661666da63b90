//! What operators and admins did: one entry for each call that used their rights, and for each of their commands.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::PortError;

/// How long entries are kept.
pub const KEEP_AUDIT: Duration = Duration::from_secs(400 * 24 * 3600);

/// One thing that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Of the call, or of the command. Noted twice it is one entry.
    pub id: String,
    /// When, to the millisecond.
    pub at: DateTime<Utc>,
    /// The user, or the login of a command's process.
    pub actor: String,
    /// By which right: `operator`, `admin`, or `command`.
    pub role: String,
    /// The key that the call was made with.
    pub key_id: Option<String>,
    /// The address that called.
    pub client: Option<String>,
    /// Method and route, or the command.
    pub action: String,
    /// What it was done to. Never a user's name: that would outlive the user.
    pub target: Option<String>,
    /// Of the answer.
    pub status: Option<u16>,
}

/// Where it goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPosition {
    /// When the last one was.
    pub at: DateTime<Utc>,
    /// Its id.
    pub id: String,
}

impl AuditEntry {
    /// The place behind it.
    pub fn position(&self) -> AuditPosition {
        AuditPosition { at: self.at, id: self.id.clone() }
    }
}

/// The log of what operators did.
#[async_trait]
pub trait Audit: Send + Sync + 'static {
    /// Keeps an entry.
    async fn note(&self, entry: &AuditEntry) -> Result<(), PortError>;

    /// So many entries of that time or later, the oldest first, behind one that was seen.
    async fn entries(
        &self,
        since: DateTime<Utc>,
        after: Option<&AuditPosition>,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, PortError>;

    /// Forgets what is older.
    async fn forget(&self, before: DateTime<Utc>) -> Result<(), PortError>;
}
