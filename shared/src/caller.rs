//! Who is calling: the identity that every read and write is scoped by.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// A user, as named by whoever authenticated them. Opaque to Parlance.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserId(Arc<str>);

impl UserId {
    /// A user by the name their issuer gives them.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name as stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The authenticated caller of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Whose data the call may touch.
    pub user: UserId,
    /// What else they may do.
    pub role: Role,
    /// The key that the call was made with; none for tokens, and without credentials.
    pub key: Option<CallerKey>,
}

/// What a caller may do beyond their own conversations. Each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Talk.
    User,
    /// Look after the service: metrics, dead letters, replays.
    Operator,
    /// Everything.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::User, Self::Operator, Self::Admin];

    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|role| role.as_str() == word).ok_or(())
    }
}

/// The key that a call was made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerKey {
    /// Its id; not the key itself.
    pub id: Arc<str>,
    /// Who is told of the ends of tasks that were asked with it.
    pub webhook_url: Option<Arc<str>>,
}

impl Caller {
    /// The one user of a process that listens on loopback only and asks for no credential.
    pub fn local() -> Self {
        Self { user: UserId::new("local"), role: Role::Admin, key: None }
    }
}
