//! What a reader is sent next: a pure function of what it has seen and where the task stands.
//!
//! Live readers and replays of a stored reply take the same steps, so a cursor means the same during the reply, after it,
//! and when nothing but the stored text is left.

use std::borrow::Cow;

use serde::Serialize;

use crate::{
    content::ToolCall,
    cursor::{Cursor, Place, UnknownCursor},
    reply_text::{Piece, next_piece},
    task::{Status, Task},
};

/// The most text that one entry carries, in bytes: a reader that is far behind gets its text in pieces.
pub const MAX_DELTA_BYTES: usize = 16 * 1024;

/// One event of a task's stream, with the cursor of a reader that has seen it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its id.
    pub cursor: Cursor,
    /// What happened.
    pub event: LogEvent,
}

/// What happened to a task.
#[derive(Clone, Debug, PartialEq)]
pub enum LogEvent {
    /// The task waits, or an attempt has begun.
    Status(StatusData),
    /// More text.
    Delta(DeltaData),
    /// A tool is to be called.
    ToolCall(ToolCallData),
    /// A new attempt replaces all text shown so far.
    Reset(ResetData),
    /// It ended; by its status `done`, `failed` or `cancelled`.
    End(Box<Task>),
}

impl LogEvent {
    /// The SSE event name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Status(_) => "status",
            Self::Delta(_) => "delta",
            Self::ToolCall(_) => "tool_call",
            Self::Reset(_) => "reset",
            Self::End(task) => match task.status {
                Status::Failed => "failed",
                Status::Cancelled => "cancelled",
                Status::Queued | Status::Running | Status::Completed => "done",
            },
        }
    }
}

/// Data of `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StatusData {
    /// Where the task stands.
    pub status: Status,
    /// The attempt that is under way.
    pub attempt: u32,
}

/// Data of `delta`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeltaData {
    /// The text that follows what was sent before.
    pub text: String,
    /// The attempt it belongs to.
    pub attempt: u32,
}

/// Data of `tool_call`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ToolCallData {
    /// The call, whole.
    pub tool_call: ToolCall,
    /// The attempt it belongs to.
    pub attempt: u32,
}

/// Data of `reset`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResetData {
    /// The attempt that starts.
    pub attempt: u32,
    /// Why the earlier one was given up: a code of a task's error.
    pub reason: String,
}

/// Where a task stands, as far as this process knows.
#[derive(Clone, Debug)]
pub struct LogView<'a> {
    /// The latest attempt; 0 before the first.
    pub attempt: u32,
    /// Why the attempt before it was given up.
    pub reset_reason: &'a str,
    /// The latest attempt's text so far, as [`crate::reply_text`] writes it.
    pub text: Cow<'a, str>,
    /// How it ended.
    pub end: Option<&'a Task>,
    /// Whether `text` holds all that any reader was ever sent of this attempt. Not so for an attempt whose worker was
    /// lost: readers may have seen text that was not stored yet, until the next attempt resets them.
    pub complete: bool,
    /// The text was deleted, with its session or its user: readers that had some of it learn the end, wherever they are.
    pub erased: bool,
}

impl<'a> LogView<'a> {
    /// The view of a task that has ended.
    pub fn of_ended(task: &'a Task, reset_reason: &'a str) -> Self {
        let text = task.log_text();
        Self { attempt: task.attempt, reset_reason, text, end: Some(task), complete: true, erased: false }
    }

    /// What a reader at `seen` is sent next; `None` when there is nothing more for now, or ever once the task has ended.
    ///
    /// # Errors
    /// [`UnknownCursor`] when no event of this task can have carried the cursor.
    pub fn next_after(&self, seen: Option<Cursor>) -> Result<Option<Entry>, UnknownCursor> {
        let Some(seen) = seen else {
            return Ok(Some(self.status_entry()));
        };
        if seen.attempt > self.attempt {
            return Err(UnknownCursor);
        }
        if seen.attempt < self.attempt {
            return Ok(Some(if self.attempt == 1 { self.status_entry() } else { self.reset_entry() }));
        }
        match seen.place {
            Place::Reset => Ok(Some(self.status_entry())),
            Place::Text(bytes) => self.after_text(bytes),
            Place::End if self.end.is_some() => Ok(None),
            Place::End => Err(UnknownCursor),
        }
    }

    fn after_text(&self, bytes: u64) -> Result<Option<Entry>, UnknownCursor> {
        if let (true, Some(task)) = (self.erased, self.end) {
            return Ok(Some(self.end_entry(task)));
        }
        let start = usize::try_from(bytes).map_err(|_| UnknownCursor)?;
        if start > self.text.len() {
            return if self.complete { Err(UnknownCursor) } else { Ok(None) };
        }
        let rest = self.text.get(start..).ok_or(UnknownCursor)?;
        if rest.is_empty() {
            return Ok(self.end.map(|task| self.end_entry(task)));
        }
        // Of a call that is not all there, the rest is to come.
        let Some((piece, taken)) = next_piece(rest, MAX_DELTA_BYTES) else { return Ok(None) };
        let attempt = self.attempt;
        let event = match piece {
            Piece::Text(text) => LogEvent::Delta(DeltaData { text: text.to_owned(), attempt }),
            Piece::Call(tool_call) => LogEvent::ToolCall(ToolCallData { tool_call, attempt }),
        };
        Ok(Some(self.entry(Place::Text(bytes + taken as u64), event)))
    }

    fn status_entry(&self) -> Entry {
        let status = if self.attempt == 0 { Status::Queued } else { Status::Running };
        self.entry(Place::Text(0), LogEvent::Status(StatusData { status, attempt: self.attempt }))
    }

    fn reset_entry(&self) -> Entry {
        let reason = self.reset_reason.to_owned();
        self.entry(Place::Reset, LogEvent::Reset(ResetData { attempt: self.attempt, reason }))
    }

    fn end_entry(&self, task: &Task) -> Entry {
        self.entry(Place::End, LogEvent::End(Box::new(task.clone())))
    }

    fn entry(&self, place: Place, event: LogEvent) -> Entry {
        Entry { cursor: Cursor { attempt: self.attempt, place }, event }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::{TaskId, id::PrefixedId as _};

    fn ended(attempt: u32, text: &str) -> Task {
        let mut task = Task::queued(TaskId::from_uuid(Uuid::now_v7()));
        task.status = Status::Completed;
        task.attempt = attempt;
        task.reply.content = text.to_owned();
        task
    }

    fn drain(view: &LogView<'_>, mut seen: Option<Cursor>) -> Vec<Entry> {
        let mut entries = Vec::new();
        while let Some(entry) = view.next_after(seen).unwrap() {
            assert!(seen.is_none_or(|seen| seen < entry.cursor), "cursors grow");
            seen = Some(entry.cursor);
            entries.push(entry);
        }
        entries
    }

    fn text_of(entries: &[Entry]) -> String {
        entries
            .iter()
            .filter_map(|e| if let LogEvent::Delta(d) = &e.event { Some(d.text.as_str()) } else { None })
            .collect()
    }

    proptest! {
        /// A reader that follows a growing text in any steps, is cut off anywhere and resumes, has the text once.
        #[test]
        fn resuming_anywhere_misses_and_repeats_nothing(pieces in proptest::collection::vec("\\PC{0,40}", 0..20), cut in any::<prop::sample::Index>()) {
            let whole: String = pieces.concat();
            let task = ended(1, &whole);
            let mut seen = None;
            let mut got = Vec::new();
            let mut written = String::new();
            for piece in &pieces {
                written.push_str(piece);
                let live = LogView { attempt: 1, reset_reason: "", text: written.as_str().into(), end: None, complete: true, erased: false };
                let more = drain(&live, seen);
                seen = more.last().map(|e| e.cursor).or(seen);
                got.extend(more);
            }
            got.extend(drain(&LogView::of_ended(&task, ""), seen));
            prop_assert_eq!(text_of(&got), whole.clone());

            let cut = cut.index(got.len());
            let resumed = drain(&LogView::of_ended(&task, ""), Some(got[cut].cursor));
            prop_assert_eq!(text_of(&got[..=cut]) + &text_of(&resumed), whole);
            prop_assert_eq!(resumed.iter().filter(|e| matches!(e.event, LogEvent::End(_))).count(), usize::from(cut + 1 < got.len()));
        }

        /// Whatever a reader saw of an earlier attempt, also text that was lost with its worker, it is reset and then has
        /// the new attempt's text alone.
        #[test]
        fn an_older_attempt_is_reset(place in prop_oneof![Just(Place::Reset), any::<u64>().prop_map(Place::Text)], old in 1_u32..4, text in "\\PC{0,60}") {
            prop_assume!(old > 1 || place != Place::Reset);
            let task = ended(4, &text);
            let entries = drain(&LogView::of_ended(&task, "worker_lost"), Some(Cursor { attempt: old, place }));
            prop_assert_eq!(&entries[0].event, &LogEvent::Reset(ResetData { attempt: 4, reason: "worker_lost".into() }));
            prop_assert_eq!(text_of(&entries[1..]), text);
            prop_assert!(matches!(entries.last().map(|e| &e.event), Some(LogEvent::End(_))));
        }

        /// Arbitrary cursors give an error or an exact tail, never a panic.
        #[test]
        fn arbitrary_cursors_are_safe(text in "[aä€😀]{0,12}", attempt in 0_u32..4, bytes in 0_u64..64) {
            let task = ended(2, &text);
            let seen = Cursor { attempt, place: Place::Text(bytes) };
            match LogView::of_ended(&task, "x").next_after(Some(seen)) {
                Ok(Some(Entry { event: LogEvent::Delta(delta), .. })) => prop_assert_eq!(&text[bytes as usize..], delta.text),
                Ok(_) => prop_assert!(attempt < 2 || bytes as usize == text.len()),
                Err(UnknownCursor) => prop_assert!(attempt > 2 || (attempt == 2 && text.get(bytes as usize..).is_none())),
            }
        }
    }

    #[test]
    fn a_reader_ahead_of_a_lost_attempt_waits_for_the_reset() {
        let ahead = Some(Cursor { attempt: 1, place: Place::Text(9) });
        let lost =
            LogView { attempt: 1, reset_reason: "", text: "abc".into(), end: None, complete: false, erased: false };
        assert_eq!(lost.next_after(ahead), Ok(None));
        let live = LogView { complete: true, ..lost.clone() };
        assert_eq!(live.next_after(ahead), Err(UnknownCursor));
    }

    #[test]
    fn a_reader_of_deleted_text_learns_the_end_wherever_it_is() {
        let mut task = ended(2, "");
        task.status = Status::Cancelled;
        let view = LogView { erased: true, ..LogView::of_ended(&task, "worker_lost") };
        let names = |seen| drain(&view, seen).iter().map(|entry| entry.event.name()).collect::<Vec<_>>();
        for bytes in [0, 1, 17, u64::MAX] {
            assert_eq!(names(Some(Cursor { attempt: 2, place: Place::Text(bytes) })), ["cancelled"]);
            assert_eq!(
                names(Some(Cursor { attempt: 1, place: Place::Text(bytes) })),
                ["reset", "status", "cancelled"],
                "what an earlier attempt said is taken back as ever"
            );
        }
        assert_eq!(names(None), ["status", "cancelled"]);
        assert_eq!(names(Some(Cursor { attempt: 2, place: Place::End })), [""; 0]);

        let running = LogView { end: None, ..view };
        let ahead = running.next_after(Some(Cursor { attempt: 2, place: Place::Text(17) }));
        assert_eq!(ahead, Err(UnknownCursor), "the end is told once it has come");
    }

    #[test]
    fn long_text_comes_in_pieces_cut_between_characters() {
        let task = ended(1, &"€".repeat(20_000));
        let entries = drain(&LogView::of_ended(&task, ""), None);
        assert_eq!(text_of(&entries), task.reply.content);
        assert!(entries.len() > 4);
    }
}
