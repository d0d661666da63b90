//! The mark that an operator's redrive or replay leaves on an event: who did it, when, and under which id.
//!
//! It travels as CloudEvents extensions, so it is in the attributes on Pub/Sub and in the log of whoever works on the
//! event. The id makes a replay idempotent: a failed task is reopened once by each replay, however often the bus delivers
//! the event.

use chrono::{DateTime, SecondsFormat, Utc};
use cloudevents::Event;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Clock;

const ID: &str = "replayid";
const BY: &str = "replayedby";
const AT: &str = "replayedat";

/// The longest name of an operator, in bytes.
pub const MAX_BY_BYTES: usize = 256;

/// One redrive or replay by an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    /// Names it; all events of one command share it.
    #[serde(with = "as_text")]
    pub id: Uuid,
    /// Who did it, as far as the operator's machine knows.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
    /// A task that ended as failed is to be answered anew. Otherwise only what has no end is worked on.
    pub reopens: bool,
}

/// The extension that says that failed tasks are reopened.
const REOPENS: &str = "replayreopens";

impl Replay {
    /// A new one, now.
    pub fn new(by: &str, clock: &Clock, reopens: bool) -> Self {
        Self { id: Uuid::now_v7(), by: by.to_owned(), at: clock.now(), reopens }
    }

    /// Puts the mark on an event; an earlier one is replaced.
    pub fn mark(&self, event: &mut Event) {
        event.set_extension(ID, self.id.to_string());
        event.set_extension(BY, truncated(&self.by).to_owned());
        event.set_extension(AT, self.at.to_rfc3339_opts(SecondsFormat::Millis, true));
        event.set_extension(REOPENS, self.reopens);
    }

    /// The mark of an event, if an operator sent it.
    pub fn of(event: &Event) -> Option<Self> {
        let text = |name: &str| event.extension(name).map(ToString::to_string);
        Some(Self {
            id: text(ID)?.parse().ok()?,
            by: text(BY)?,
            at: DateTime::parse_from_rfc3339(&text(AT)?).ok()?.to_utc(),
            reopens: text(REOPENS)? == "true",
        })
    }
}

/// A UUID as its usual text.
mod as_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};
    use uuid::Uuid;

    pub(super) fn serialize<S: Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Uuid, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

fn truncated(by: &str) -> &str {
    &by[..by.floor_char_boundary(MAX_BY_BYTES)]
}

#[cfg(test)]
mod tests {
    use cloudevents::{EventBuilder as _, EventBuilderV10};

    use super::*;

    #[test]
    fn a_mark_is_read_back_and_replaced() {
        let mut event = EventBuilderV10::new().id("e").ty("t").source("//s").build().unwrap();
        assert_eq!(Replay::of(&event), None);
        for reopens in [true, false] {
            let replay = Replay { id: Uuid::now_v7(), by: "ops@laptop".into(), at: DateTime::UNIX_EPOCH, reopens };
            replay.mark(&mut event);
            let stored: Event = serde_json::from_str(&serde_json::to_string(&event).unwrap()).unwrap();
            assert_eq!(Replay::of(&stored), Some(replay.clone()));
            let json = serde_json::to_string(&replay).unwrap();
            assert_eq!(serde_json::from_str::<Replay>(&json).unwrap(), replay);
        }
    }
}
