//! What processes tell each other about turns, beside text.
//!
//! A *fact* travels in the worker's next segment, in order with its text, after the transaction that made it true. It
//! can get lost with the process that has yet to tell it: the next piece of text, or the next delivery of the message,
//! shows the same, and readers who see that they are behind load the turn.
//!
//! A *notice* is sent by the transaction itself. Those are rare: a commit with a notice waits for all others of the kind,
//! so neither the begin nor the end of an ordinary turn has one.

use std::{fmt, str::FromStr};

use parlance_shared::{TaskId, id::PrefixedId as _, task::Task};
use uuid::Uuid;

use super::segment::{Kind, Piece, SegmentBuilder};

/// The channel of [`Notice`]s: workers and readers listen.
pub(crate) const TURNS_CHANNEL: &str = "parlance_turns";

/// The channel of [`Flushed`]: readers listen.
pub(super) const LOG_CHANNEL: &str = "parlance_log";

/// What a worker did to a turn.
#[derive(Clone, Debug)]
pub(crate) enum Fact {
    /// It began an attempt; `reason` is why the one before was given up.
    Begun { task: TaskId, attempt: u32, reason: String },
    /// It ended the task with just the text that it had streamed.
    Ended(Box<Task>),
    /// The task has ended; how is to be read from the database.
    EndStored { task: TaskId, attempt: u32 },
}

impl Fact {
    pub(super) fn write(&self, segment: &mut SegmentBuilder) {
        match self {
            Self::Begun { task, attempt, reason } => {
                segment.push(Piece { task: task.uuid(), attempt: *attempt, kind: Kind::Begun, start: 0, data: reason });
            }
            Self::EndStored { task, attempt } => {
                segment.push(Piece { task: task.uuid(), attempt: *attempt, kind: Kind::EndStored, start: 0, data: "" });
            }
            Self::Ended(task) => {
                let (id, attempt, start) = (task.id, task.attempt, task.log_text().len() as u64);
                let mut bare = Task::clone(task);
                bare.set_log_text("");
                match serde_json::to_string(&bare) {
                    Ok(json) => {
                        let piece = Piece { task: id.uuid(), attempt, kind: Kind::Ended, start, data: &json };
                        segment.push(piece);
                    }
                    // Not for a task's type; and who can't be told what can be told where to look.
                    Err(_) => Self::EndStored { task: id, attempt }.write(segment),
                }
            }
        }
    }
}

/// What a transaction did to a turn that somebody may work on or read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// This process took the task over, under this attempt.
    Taken { task: TaskId, attempt: u32, process: Uuid, reason: String },
    /// The owner wants it stopped.
    Cancel(TaskId),
    /// Readers should look it up.
    Changed(TaskId),
}

/// A reason that is longer is left out: readers look it up.
const LONGEST_REASON: usize = 1_000;

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken { task, reason, .. } if reason.len() > LONGEST_REASON => write!(f, "changed {task}"),
            Self::Taken { task, attempt, process, reason } => write!(f, "taken {task} {attempt} {process} {reason}"),
            Self::Cancel(task) => write!(f, "cancel {task}"),
            Self::Changed(task) => write!(f, "changed {task}"),
        }
    }
}

/// Not a notice of this version.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnknownNotice;

impl FromStr for Notice {
    type Err = UnknownNotice;

    fn from_str(text: &str) -> Result<Self, UnknownNotice> {
        let mut words = text.splitn(5, ' ');
        let mut word = || words.next().ok_or(UnknownNotice);
        let (what, task) = (word()?, word()?.parse().map_err(|_| UnknownNotice)?);
        match what {
            "taken" => Ok(Self::Taken {
                task,
                attempt: word()?.parse().map_err(|_| UnknownNotice)?,
                process: word()?.parse().map_err(|_| UnknownNotice)?,
                reason: word()?.to_owned(),
            }),
            "cancel" => Ok(Self::Cancel(task)),
            "changed" => Ok(Self::Changed(task)),
            _ => Err(UnknownNotice),
        }
    }
}

/// A segment was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flushed {
    pub(super) writer: Uuid,
    pub(super) flush_no: i64,
    pub(super) slot: i16,
}

impl FromStr for Flushed {
    type Err = UnknownNotice;

    fn from_str(text: &str) -> Result<Self, UnknownNotice> {
        let mut words = text.split(' ');
        let mut word = || words.next().ok_or(UnknownNotice);
        Ok(Self {
            writer: word()?.parse().map_err(|_| UnknownNotice)?,
            flush_no: word()?.parse().map_err(|_| UnknownNotice)?,
            slot: word()?.parse().map_err(|_| UnknownNotice)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_are_read_back() {
        let task = TaskId::from_uuid(Uuid::now_v7());
        let taken =
            |reason: &str| Notice::Taken { task, attempt: 7, process: Uuid::now_v7(), reason: reason.to_owned() };
        for notice in [taken("worker_lost"), taken(""), taken("a b"), Notice::Cancel(task), Notice::Changed(task)] {
            assert_eq!(notice.to_string().parse(), Ok(notice));
        }
        assert_eq!(taken(&"x".repeat(9_000)).to_string().parse(), Ok(Notice::Changed(task)));
        for foreign in ["", "cancel", "cancel tsk_1", "taken", &format!("later {task}")] {
            assert_eq!(foreign.parse::<Notice>(), Err(UnknownNotice), "{foreign:?}");
        }
        let writer = Uuid::now_v7();
        assert_eq!(format!("{writer} 12 5").parse(), Ok(Flushed { writer, flush_no: 12, slot: 5 }));
        assert_eq!(format!("{writer} x 5").parse::<Flushed>(), Err(UnknownNotice));
    }
}
