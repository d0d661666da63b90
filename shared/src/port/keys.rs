//! The keys that programs call with. Of a key only a keyed hash is stored ([`crate::key_mint`]), and it is found by that.
//!
//! Services check keys and note that they were used; making, rotating and revoking them is for operators alone, on Postgres
//! with a login that services don't have.

use std::{fmt, str::FromStr};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::PortError;
use crate::{UserId, caller::Role};

/// What is stored in place of a key: as secret as a hash of so many random bits need be.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash(pub [u8; 32]);

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(redacted)")
    }
}

/// What a key may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Sessions, messages and what belongs to them.
    Chat,
    /// Calling for end users, who are named with each call.
    ActAsUsers,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Chat, Self::ActAsUsers];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::ActAsUsers => "act-as-users",
        }
    }
}

impl FromStr for Scope {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word).ok_or(())
    }
}

/// What is known of a key; not the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// The key's own beginning.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Whose data it opens.
    pub user: UserId,
    /// What its holder may do beyond that.
    pub role: Role,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// Who is told of the ends of what was asked with it.
    pub webhook_url: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// From then on it is not accepted.
    pub expires_at: Option<DateTime<Utc>>,
    /// Since then it is not accepted.
    pub revoked_at: Option<DateTime<Utc>>,
    /// The key that stands in for it.
    pub rotated_to: Option<String>,
    /// To the minute or so.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// Whether a key is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// It is.
    Active,
    /// Another one stands in for it; it is accepted until it expires.
    Rotated,
    /// Its time is over.
    Expired,
    /// It was revoked.
    Revoked,
}

impl ApiKey {
    /// Whether it is accepted at this time.
    pub fn state(&self, now: DateTime<Utc>) -> KeyState {
        if self.revoked_at.is_some() {
            KeyState::Revoked
        } else if self.expires_at.is_some_and(|expires_at| expires_at <= now) {
            KeyState::Expired
        } else if self.rotated_to.is_some() {
            KeyState::Rotated
        } else {
            KeyState::Active
        }
    }
}

/// Checks keys.
#[async_trait]
pub trait Keys: Send + Sync + 'static {
    /// The key of this hash, in whatever state; `None` when there is none.
    async fn find(&self, hash: &KeyHash) -> Result<Option<ApiKey>, PortError>;

    /// A key was used at this time. An earlier time than the one that is stored changes nothing.
    async fn note_use(&self, id: &str, at: DateTime<Utc>) -> Result<(), PortError>;
}

/// How a rotation ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rotation {
    /// The new key is stored; the old one is as it is now.
    Rotated(ApiKey),
    /// There is no such key.
    Unknown,
    /// It is rotated, revoked or expired already.
    NotActive(ApiKey),
}

/// Makes, lists, rotates and revokes keys.
#[async_trait]
pub trait KeyAdmin: Send + Sync + 'static {
    /// Stores a new key.
    async fn create(&self, key: &ApiKey, hash: &KeyHash) -> Result<(), PortError>;

    /// The key of this id.
    async fn get(&self, id: &str) -> Result<Option<ApiKey>, PortError>;

    /// So many keys behind the one with this id, ordered by it.
    async fn list(&self, after: Option<&str>, limit: u32) -> Result<Vec<ApiKey>, PortError>;

    /// Stores a new key that stands in for an active one, which expires at `old_expires_at` or earlier: both, or nothing.
    async fn rotate(
        &self,
        old: &str,
        new: &ApiKey,
        hash: &KeyHash,
        old_expires_at: DateTime<Utc>,
    ) -> Result<Rotation, PortError>;

    /// From now on it is not accepted; gives it as it is then. A second time changes nothing.
    async fn revoke(&self, id: &str, at: DateTime<Utc>) -> Result<Option<ApiKey>, PortError>;
}
