//! What goes over the socket: one POST with a JSON body per call, one JSON body as its answer.
//!
//! | path | call | answer |
//! |---|---|---|
//! | `/v1/dead-letters` | [`LettersCall`] | list of [`Letter`], empty at the end |
//! | `/v1/dead-letters/redrive` | [`RedriveCall`] | whether it was still there |
//! | `/v1/dead-letters/discard` | [`DiscardCall`] | whether it was still there |
//! | `/v1/replay` | [`ReplayCall`] | null |
//! | `/v1/seek` | [`SeekCall`] | how many wait, or null |
//! | `/v1/requests` | [`RequestsCall`] | list of [`StoredRequest`], empty at the end |
//! | `/v1/users/count` | [`UserCall`] | [`UserCounts`] |
//! | `/v1/users/export` | [`ExportCall`] | [`ExportPage`] |
//! | `/v1/users/erase` | [`UserCall`] | [`EraseStep`] |
//! | `/v1/users/forget` | [`ForgetCall`] | how many messages of the bus went, or null |
//! | `/v1/users/purge` | null | whether it could be done just now |
//! | `/v1/keys/…`, `/v1/audit/…` | see `keys.rs` | |
//! | `/v1/webhooks/secret` | see `webhooks.rs` | |
//!
//! Any status but 200 comes with a [`Refusal`].
//!
//! [`StoredRequest`]: parlance_shared::port::store::StoredRequest
//! [`UserCounts`]: parlance_shared::port::users::UserCounts
//! [`ExportPage`]: parlance_shared::port::users::ExportPage
//! [`EraseStep`]: parlance_shared::port::users::EraseStep

use chrono::{DateTime, Utc};
use cloudevents::Event;
use parlance_shared::{
    UserId,
    port::{
        PortError,
        bus::{DeadLetter, Reason, Subscription, Topic},
        store::{RequestFilter, RequestPosition},
        users::ExportPosition,
    },
    replay::Replay,
    topology,
};
use serde::{Deserialize, Serialize};

pub(super) const LETTERS: &str = "/v1/dead-letters";
pub(super) const REDRIVE: &str = "/v1/dead-letters/redrive";
pub(super) const DISCARD: &str = "/v1/dead-letters/discard";
pub(super) const REPLAY: &str = "/v1/replay";
pub(super) const SEEK: &str = "/v1/seek";
pub(super) const REQUESTS: &str = "/v1/requests";
pub(super) const USER_COUNT: &str = "/v1/users/count";
pub(super) const USER_EXPORT: &str = "/v1/users/export";
pub(super) const USER_ERASE: &str = "/v1/users/erase";
pub(super) const USER_FORGET: &str = "/v1/users/forget";
pub(super) const PURGE: &str = "/v1/users/purge";

/// A call's body: the largest holds one event with its message.
pub(super) const MAX_CALL_BYTES: usize = 4 << 20;
/// An answer's body: the largest is a page of events.
pub(super) const MAX_ANSWER_BYTES: usize = 64 << 20;

/// The next letters of a subscription behind one that was seen.
#[derive(Serialize, Deserialize)]
pub(super) struct LettersCall {
    pub(super) subscription: String,
    pub(super) after: Option<String>,
}

/// One dead letter.
#[derive(Serialize, Deserialize)]
pub(super) struct Letter {
    id: String,
    event: Event,
    ordering_key: String,
    code: String,
    message: String,
    attempts: u32,
    published_at: DateTime<Utc>,
    dead_at: DateTime<Utc>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct RedriveCall {
    pub(super) subscription: String,
    pub(super) id: String,
    pub(super) replay: Replay,
}

#[derive(Serialize, Deserialize)]
pub(super) struct DiscardCall {
    pub(super) subscription: String,
    pub(super) id: String,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ReplayCall {
    pub(super) topic: String,
    pub(super) ordering_key: String,
    pub(super) event: Event,
}

#[derive(Serialize, Deserialize)]
pub(super) struct SeekCall {
    pub(super) subscription: String,
    pub(super) to: DateTime<Utc>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct RequestsCall {
    pub(super) filter: RequestFilter,
    pub(super) after: Option<RequestPosition>,
    pub(super) limit: u32,
}

#[derive(Serialize, Deserialize)]
pub(super) struct UserCall {
    pub(super) user: UserId,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ExportCall {
    pub(super) user: UserId,
    pub(super) after: Option<ExportPosition>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ForgetCall {
    pub(super) user: UserId,
    pub(super) until: DateTime<Utc>,
}

/// Why a call did nothing, as a [`PortError`] is told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Refusal {
    kind: Kind,
    cause: String,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Unavailable,
    Full,
    Rejected,
}

impl From<DeadLetter> for Letter {
    fn from(letter: DeadLetter) -> Self {
        Self {
            id: letter.id,
            event: letter.event,
            ordering_key: letter.ordering_key,
            code: letter.reason.code,
            message: letter.reason.message,
            attempts: letter.attempts,
            published_at: letter.published_at,
            dead_at: letter.dead_at,
        }
    }
}

impl Letter {
    /// The letter, of the subscription that was asked for.
    pub(super) fn of(self, subscription: &Subscription) -> DeadLetter {
        DeadLetter {
            id: self.id,
            subscription: subscription.name.to_owned(),
            event: self.event,
            ordering_key: self.ordering_key,
            reason: Reason::new(self.code, self.message),
            attempts: self.attempts,
            published_at: self.published_at,
            dead_at: self.dead_at,
        }
    }
}

impl From<PortError> for Refusal {
    fn from(error: PortError) -> Self {
        let kind = match error {
            PortError::Unavailable { .. } => Kind::Unavailable,
            PortError::Full { .. } => Kind::Full,
            PortError::Rejected { .. } => Kind::Rejected,
        };
        Self { kind, cause: error.to_string() }
    }
}

impl From<Refusal> for PortError {
    fn from(Refusal { kind, cause }: Refusal) -> Self {
        let what = "the running process";
        match kind {
            Kind::Unavailable => Self::Unavailable { what, cause },
            Kind::Full => Self::Full { what, cause },
            Kind::Rejected => Self::Rejected { what, cause },
        }
    }
}

/// A call that can't be understood: of another version, or by hand.
pub(super) fn not_understood(cause: impl Into<String>) -> Refusal {
    Refusal { kind: Kind::Rejected, cause: cause.into() }
}

pub(super) fn subscription(name: &str) -> Result<Subscription, Refusal> {
    let known = topology::ALL.into_iter().find(|subscription| subscription.name == name);
    known.ok_or_else(|| not_understood(format!("there is no subscription {name:?}")))
}

pub(super) fn topic(name: &str) -> Result<Topic, Refusal> {
    let known = topology::ALL.into_iter().map(|subscription| subscription.topic).find(|topic| topic.0 == name);
    known.ok_or_else(|| not_understood(format!("there is no topic {name:?}")))
}
