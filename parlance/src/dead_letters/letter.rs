//! A dead letter as it is shown.

use chrono::{DateTime, Utc};
use cloudevents::AttributesReader as _;
use parlance_shared::{SessionId, TaskId, port::bus::DeadLetter, replay::Replay};
use serde::Serialize;

/// The fields of a letter, for `--json`.
#[derive(Debug, Serialize)]
pub(super) struct Letter {
    pub(super) id: String,
    pub(super) subscription: String,
    pub(super) reason: Reason,
    pub(super) attempts: u32,
    pub(super) published_at: DateTime<Utc>,
    pub(super) dead_at: DateTime<Utc>,
    pub(super) ordering_key: String,
    pub(super) session_id: Option<SessionId>,
    pub(super) task_id: Option<TaskId>,
    pub(super) event_id: String,
    pub(super) event_type: String,
    /// The redrive or replay that it comes from.
    pub(super) replay: Option<Mark>,
}

#[derive(Debug, Serialize)]
pub(super) struct Reason {
    pub(super) code: String,
    pub(super) message: String,
}

/// Who sent something again, and when.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Mark {
    pub(crate) id: String,
    pub(crate) by: String,
    pub(crate) at: DateTime<Utc>,
}

impl From<&Replay> for Mark {
    fn from(replay: &Replay) -> Self {
        Self { id: replay.id.to_string(), by: replay.by.clone(), at: replay.at }
    }
}

impl From<&DeadLetter> for Letter {
    fn from(letter: &DeadLetter) -> Self {
        let event = &letter.event;
        Self {
            id: letter.id.clone(),
            subscription: letter.subscription.clone(),
            reason: Reason { code: letter.reason.code.clone(), message: letter.reason.message.clone() },
            attempts: letter.attempts,
            published_at: letter.published_at,
            dead_at: letter.dead_at,
            ordering_key: letter.ordering_key.clone(),
            session_id: letter.ordering_key.parse().ok(),
            task_id: task_of(letter),
            event_id: event.id().to_owned(),
            event_type: event.ty().to_owned(),
            replay: Replay::of(event).as_ref().map(Mark::from),
        }
    }
}

/// The task that a letter is about, if it is about one.
pub(super) fn task_of(letter: &DeadLetter) -> Option<TaskId> {
    letter.event.subject()?.parse().ok()
}
