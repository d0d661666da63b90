//! Identifiers: a prefix that says what they name, and 32 lower-case hex digits of a UUID (version 7, or version 8 when
//! derived from an idempotency key).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::{Uuid, Version};

/// Why a string is no identifier of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must look like {prefix}_ followed by 32 lower-case hex digits")]
pub struct MalformedId {
    /// The prefix that was expected.
    pub prefix: &'static str,
}

/// An identifier with a prefix of its own.
pub trait PrefixedId: Copy + fmt::Display + Sized {
    /// What stands before the underscore.
    const PREFIX: &'static str;
    /// Wraps a UUID; the caller vouches for its kind.
    fn from_uuid(uuid: Uuid) -> Self;
    /// The UUID inside.
    fn uuid(&self) -> Uuid;
}

fn parse(prefix: &'static str, text: &str) -> Result<Uuid, MalformedId> {
    let malformed = MalformedId { prefix };
    let digits = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_')).ok_or(malformed.clone())?;
    let canonical = digits.len() == 32 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !canonical {
        return Err(malformed);
    }
    let uuid = Uuid::try_parse(digits).map_err(|_| malformed.clone())?;
    match uuid.get_version() {
        Some(Version::SortRand | Version::Custom) => Ok(uuid),
        _ => Err(malformed),
    }
}

macro_rules! prefixed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl PrefixedId for $name {
            const PREFIX: &'static str = $prefix;
            fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }
            fn uuid(&self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.as_simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = MalformedId;
            fn from_str(text: &str) -> Result<Self, MalformedId> {
                parse($prefix, text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                crate::openapi::id_schema($prefix)
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {}

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

prefixed_id!(
    /// A conversation.
    SessionId,
    "ses"
);
prefixed_id!(
    /// One turn: a message and the reply to it.
    TaskId,
    "tsk"
);
prefixed_id!(
    /// A message of either side.
    MessageId,
    "msg"
);
prefixed_id!(
    /// One HTTP call, carried through events and logs so that a turn can be followed.
    CallId,
    "call"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_refuses_what_was_never_made() {
        let id = TaskId::from_uuid(Uuid::now_v7());
        assert_eq!(id.to_string().parse::<TaskId>(), Ok(id));
        let upper = id.to_string().to_uppercase();
        let hyphens = format!("tsk_{}", id.uuid());
        let other_kind = id.to_string().replace("tsk_", "ses_");
        let version_4 = format!("tsk_{}", Uuid::new_v4().as_simple());
        for bad in
            ["", "tsk_", "tsk_1", "tsk", upper.as_str(), hyphens.as_str(), other_kind.as_str(), version_4.as_str()]
        {
            assert!(bad.parse::<TaskId>().is_err(), "{bad:?} was taken");
        }
    }
}
