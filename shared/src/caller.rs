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
}

impl Caller {
    /// The one user of a process that listens on loopback only and asks for no credential.
    pub fn local() -> Self {
        Self { user: UserId::new("local") }
    }
}
