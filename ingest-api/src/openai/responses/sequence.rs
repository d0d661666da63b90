//! `sequence_number`: the place of an event in a response's stream, the same on each reading, on every instance, for ever.
//!
//! Numbers grow from event to event; they are not dense. The upper half is the attempt, the lower half the place in it:
//!
//! | place               | event                                                                            |
//! |---------------------|----------------------------------------------------------------------------------|
//! | 0, 1, 2 of attempt 0| `created`, `queued`, `in_progress`: once in a stream                             |
//! | 0, 1                | the attempt's message and its part are added                                     |
//! | 2 + n               | text, up to byte n of what the attempt said: deltas are cut differently each time|
//! | from `TAIL`         | text, part and item are done; then the calls, four numbers each                  |
//! | the last            | the end                                                                          |
//!
//! So a number that was ever sent names a cursor of the log, and what follows it is all the rest.

use parlance_shared::{
    cursor::{Cursor, Place},
    task::Task,
};

const TEXT: u64 = 2;
const TAIL: u64 = 0xfff0_0000;
const CALLS: u64 = TAIL + 16;
const PER_CALL: u64 = 4;
const LAST: u64 = u32::MAX as u64;
/// JavaScript counts to 2^53.
const MOST_ATTEMPTS: u32 = (1 << 21) - 1;
/// The largest number that there can be.
pub(super) const LARGEST: u64 = (1 << 53) - 1;

pub(super) const CREATED: u64 = 0;
pub(super) const QUEUED: u64 = 1;
pub(super) const IN_PROGRESS: u64 = 2;

/// An event of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    ItemAdded,
    PartAdded,
    /// Text up to this byte, which is not 0.
    TextUpTo(u64),
    TextDone,
    PartDone,
    ItemDone,
    CallAdded(usize),
    CallArguments(usize),
    CallArgumentsDone(usize),
    CallDone(usize),
    End,
}

/// The number of an attempt's event.
pub(super) fn number(attempt: u32, frame: Frame) -> u64 {
    let call = |n: usize, step: u64| (CALLS + PER_CALL * n as u64 + step).min(LAST - 1);
    let place = match frame {
        Frame::ItemAdded => 0,
        Frame::PartAdded => 1,
        Frame::TextUpTo(bytes) => TEXT.saturating_add(bytes).min(TAIL - 1),
        Frame::TextDone => TAIL,
        Frame::PartDone => TAIL + 1,
        Frame::ItemDone => TAIL + 2,
        Frame::CallAdded(n) => call(n, 0),
        Frame::CallArguments(n) => call(n, 1),
        Frame::CallArgumentsDone(n) => call(n, 2),
        Frame::CallDone(n) => call(n, 3),
        Frame::End => LAST,
    };
    (u64::from(attempt.min(MOST_ATTEMPTS)) << 32) | place
}

/// Where in the log a reader goes on that has seen this number; what is sent from there and bears no greater number, it has
/// seen. Of an ended task the text is known, so that none of it is read again.
pub(super) fn cursor(seen: u64, task: &Task) -> Option<Cursor> {
    let attempt = u32::try_from(seen >> 32).unwrap_or(u32::MAX);
    let at_end = task.status.is_terminal() && task.attempt == attempt;
    let place = match seen & LAST {
        LAST if at_end => Place::End,
        _ if attempt == 0 => return None,
        place if place < TAIL => Place::Text(place.saturating_sub(TEXT)),
        _ if at_end => Place::Text(task.log_text().len() as u64),
        _ => Place::Text(0),
    };
    Some(Cursor { attempt, place })
}
