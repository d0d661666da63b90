//! A place in a task's reply log, as it stands in every SSE event's `id:`.
//!
//! A cursor names an attempt and a place in that attempt's text, never a row or a token: it stays valid when rows are
//! merged, when the log is gone and only the stored reply is left, and on every instance.
//!
//! | text    | what its holder has seen                                      |
//! |---------|---------------------------------------------------------------|
//! | `0-0`   | that the task is queued                                       |
//! | `2-r`   | that attempt 2 replaces what was shown before                 |
//! | `2-17`  | attempt 2's start and the first 17 bytes (UTF-8) of its text  |
//! | `2-end` | all of it, and how the task ended                             |

use std::{cmp::Ordering, fmt, str::FromStr};

/// What a client has seen of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cursor {
    /// The attempt it saw this much of; 0 before the first.
    pub attempt: u32,
    /// How much of that attempt.
    pub place: Place,
}

/// How much of an attempt was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// That it replaces an earlier one, and nothing of its own.
    Reset,
    /// Its start and this many bytes of its text.
    Text(u64),
    /// Its text and how it ended.
    End,
}

impl Place {
    fn rank(self) -> (u8, u64) {
        match self {
            Self::Reset => (0, 0),
            Self::Text(bytes) => (1, bytes),
            Self::End => (2, 0),
        }
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Place::Reset => write!(f, "{}-r", self.attempt),
            Place::Text(bytes) => write!(f, "{}-{bytes}", self.attempt),
            Place::End => write!(f, "{}-end", self.attempt),
        }
    }
}

/// A cursor that no event of this task ever carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be the id of an event that this task's stream has sent")]
pub struct UnknownCursor;

impl FromStr for Cursor {
    type Err = UnknownCursor;

    fn from_str(text: &str) -> Result<Self, UnknownCursor> {
        let (attempt, place) = text.split_once('-').ok_or(UnknownCursor)?;
        let attempt = canonical_number(attempt).and_then(|n| u32::try_from(n).ok()).ok_or(UnknownCursor)?;
        let place = match place {
            "r" if attempt > 1 => Place::Reset,
            "end" => Place::End,
            digits => Place::Text(canonical_number(digits).ok_or(UnknownCursor)?),
        };
        if attempt == 0 && matches!(place, Place::Text(1..)) {
            return Err(UnknownCursor);
        }
        Ok(Self { attempt, place })
    }
}

/// Digits as we print them: no sign, no leading zero.
fn canonical_number(digits: &str) -> Option<u64> {
    let canonical = digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    canonical.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(attempt in 2_u32.., bytes in any::<u64>()) {
            for place in [Place::Reset, Place::Text(bytes), Place::End] {
                let cursor = Cursor { attempt, place };
                prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
            }
        }

        #[test]
        fn whatever_is_read_is_printed_the_same(text in "[0-9+ r\\-end]{0,24}") {
            if let Ok(cursor) = text.parse::<Cursor>() {
                prop_assert_eq!(cursor.to_string(), text);
            }
        }
    }

    #[test]
    fn refuses_what_was_never_printed() {
        for bad in [
            "",
            "-",
            "1",
            "1-",
            "-1",
            "01-0",
            "1-01",
            "1-+1",
            "0-1",
            "0-r",
            "1-r",
            "1-End",
            "4294967296-0",
            "1-18446744073709551616",
            "1-0 ",
        ] {
            assert_eq!(bad.parse::<Cursor>(), Err(UnknownCursor), "{bad:?} was taken");
        }
    }
}
