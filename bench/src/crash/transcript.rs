//! What one subscriber has seen of a task, and whether that can be: the judge of invariants 4 and 5.
//!
//! It shares no code with the server: cursors are read here as the API documents them.

use serde::Deserialize;

use super::findings::{Finding, Flaw};
use crate::{
    api::{Delta, Task},
    sse::Frame,
};

/// A place in a stream, ordered as readers pass them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// The attempt.
    pub attempt: u32,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Reset,
    Text(usize),
    End,
}

impl Cursor {
    /// Reads an event's id.
    pub fn parse(id: &str) -> Option<Self> {
        let (attempt, place) = id.split_once('-')?;
        let place = match place {
            "r" => Place::Reset,
            "end" => Place::End,
            bytes => Place::Text(bytes.parse().ok()?),
        };
        Some(Self { attempt: attempt.parse().ok()?, place })
    }
}

/// What one subscriber has seen of one task, over all its connections.
#[derive(Clone, Debug, Default)]
pub struct Transcript {
    last_id: Option<String>,
    last: Option<Cursor>,
    text: String,
    end: Option<Task>,
}

#[derive(Deserialize)]
struct AttemptOnly {
    attempt: u32,
}

impl Transcript {
    /// A subscriber that has seen this text of an attempt, up to the event with this id.
    pub fn resumed(id: &str, text: &str) -> Self {
        Self { last_id: Some(id.to_owned()), last: Cursor::parse(id), text: text.to_owned(), end: None }
    }

    /// The id to resume from.
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// The text of the attempt that it is in.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The attempt that it is in; 0 before the first.
    pub fn attempt(&self) -> u32 {
        self.last.map_or(0, |cursor| cursor.attempt)
    }

    /// How the task ended.
    pub fn end(&self) -> Option<&Task> {
        self.end.as_ref()
    }

    /// The next event. Connections may have been lost and resumed before it.
    ///
    /// # Errors
    /// What can't be: nothing that comes later makes it good.
    pub fn take(&mut self, frame: &Frame<'_>) -> Result<(), Finding> {
        self.judge(frame).map_err(|finding| {
            let seen = self.last_id.as_deref().unwrap_or("nothing");
            finding.at(format!("{} {} after {seen}", frame.event, frame.id))
        })
    }

    fn judge(&mut self, frame: &Frame<'_>) -> Result<(), Finding> {
        let bad = |what: &str| Finding::new(Flaw::BadAnswer, what);
        let cursor = Cursor::parse(frame.id).ok_or_else(|| bad("no such cursor"))?;
        if self.end.is_some() || self.last.is_some_and(|last| cursor <= last) {
            return Err(Finding::new(Flaw::Doubled, "an event again, or after the end"));
        }
        let attempt = match frame.event {
            "delta" => {
                let delta: Delta<'_> = serde_json::from_str(frame.data).map_err(|e| bad(&e.to_string()))?;
                self.judge_delta(cursor, &delta)?;
                delta.attempt
            }
            "status" => {
                let attempt = attempt_of(frame)?;
                // Without a reset, only the first attempt may follow anything.
                if self.last.is_some_and(|last| last.attempt != attempt && last.attempt != 0) {
                    return Err(Finding::new(Flaw::Mixed, "another attempt without a reset"));
                }
                if cursor.place != Place::Text(0) || !self.text.is_empty() {
                    return Err(bad("an attempt that starts in the middle"));
                }
                attempt
            }
            "reset" => {
                if cursor.place != Place::Reset {
                    return Err(bad("a reset with another event's cursor"));
                }
                self.text.clear();
                attempt_of(frame)?
            }
            "done" | "failed" | "cancelled" => {
                let task: Task = serde_json::from_str(frame.data).map_err(|e| bad(&e.to_string()))?;
                let attempt = self.judge_end(cursor, frame.event, &task)?;
                self.end = Some(task);
                attempt
            }
            _ => return Err(bad("no such event")),
        };
        if cursor.attempt != attempt {
            return Err(Finding::new(Flaw::Mixed, "the data and the cursor name different attempts"));
        }
        self.last = Some(cursor);
        self.last_id = Some(frame.id.to_owned());
        Ok(())
    }

    fn judge_delta(&mut self, cursor: Cursor, delta: &Delta<'_>) -> Result<(), Finding> {
        let in_attempt = self.last.is_some_and(|last| last.attempt == delta.attempt && last.place != Place::Reset);
        if !in_attempt {
            return Err(Finding::new(Flaw::Mixed, "text of an attempt that has not begun"));
        }
        let Place::Text(bytes) = cursor.place else {
            return Err(Finding::new(Flaw::BadAnswer, "text without a place"));
        };
        let length = self.text.len() + delta.text.len();
        if delta.text.is_empty() || length > bytes {
            return Err(Finding::new(Flaw::Doubled, format!("{length} bytes make {bytes}")));
        }
        if length < bytes {
            return Err(Finding::new(Flaw::Gap, format!("{length} bytes make {bytes}")));
        }
        self.text.push_str(&delta.text);
        Ok(())
    }

    fn judge_end(&self, cursor: Cursor, event: &str, task: &Task) -> Result<u32, Finding> {
        let status = if event == "done" { "completed" } else { event };
        if cursor.place != Place::End || task.status != status {
            return Err(Finding::new(Flaw::BadAnswer, format!("it carries a task that is {}", task.status)));
        }
        if self.attempt() != task.attempt {
            return Err(Finding::new(Flaw::Mixed, "the end of an attempt that has not begun"));
        }
        if task.reply.content != self.text {
            let flaw = if task.reply.content.starts_with(&self.text) { Flaw::Gap } else { Flaw::Mixed };
            let what = format!("{} bytes were sent, {} are stored", self.text.len(), task.reply.content.len());
            return Err(Finding::new(flaw, what));
        }
        Ok(task.attempt)
    }
}

fn attempt_of(frame: &Frame<'_>) -> Result<u32, Finding> {
    let data: AttemptOnly =
        serde_json::from_str(frame.data).map_err(|error| Finding::new(Flaw::BadAnswer, error.to_string()))?;
    Ok(data.attempt)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(id: &'static str, event: &'static str, data: &'static str) -> Frame<'static> {
        Frame { id, event, data }
    }

    fn status(attempt: u32) -> Frame<'static> {
        match attempt {
            0 => frame("0-0", "status", r#"{"status":"queued","attempt":0}"#),
            1 => frame("1-0", "status", r#"{"status":"running","attempt":1}"#),
            _ => frame("2-0", "status", r#"{"status":"running","attempt":2}"#),
        }
    }

    const HELLO: Frame<'static> = Frame { id: "1-5", event: "delta", data: r#"{"text":"hello","attempt":1}"# };
    const WORLD: Frame<'static> = Frame { id: "1-11", event: "delta", data: r#"{"text":" world","attempt":1}"# };
    const RESET: Frame<'static> = Frame { id: "2-r", event: "reset", data: r#"{"attempt":2,"reason":"worker_lost"}"# };
    const AGAIN: Frame<'static> = Frame { id: "2-5", event: "delta", data: r#"{"text":"again","attempt":2}"# };

    fn end(id: &'static str, event: &'static str, task: &'static str) -> Frame<'static> {
        frame(id, event, task)
    }

    const DONE_1: &str = r#"{"id":"t","status":"completed","attempt":1,"reply":{"message_id":"m","content":"hello world"},"error":null}"#;
    const DONE_2: &str =
        r#"{"id":"t","status":"completed","attempt":2,"reply":{"message_id":"m","content":"again"},"error":null}"#;

    fn judge(frames: &[Frame<'_>]) -> Result<Transcript, Flaw> {
        let mut transcript = Transcript::default();
        for frame in frames {
            transcript.take(frame).map_err(|finding| finding.flaw)?;
        }
        Ok(transcript)
    }

    #[test]
    fn whole_streams_are_taken() {
        let plain = judge(&[status(0), status(1), HELLO, WORLD, end("1-end", "done", DONE_1)]).unwrap();
        assert_eq!((plain.text(), plain.attempt(), plain.end().is_some()), ("hello world", 1, true));
        let reset = judge(&[status(1), HELLO, RESET, status(2), AGAIN, end("2-end", "done", DONE_2)]).unwrap();
        assert_eq!(reset.text(), "again");
        let late = judge(&[status(2), AGAIN, end("2-end", "done", DONE_2)]).unwrap();
        assert_eq!(late.last_id(), Some("2-end"));
        let cancelled =
            r#"{"id":"t","status":"cancelled","attempt":0,"reply":{"message_id":null,"content":""},"error":null}"#;
        assert!(judge(&[status(0), end("0-end", "cancelled", cancelled)]).is_ok());
    }

    #[test]
    fn doubled_text_is_refused() {
        assert_eq!(judge(&[status(1), HELLO, HELLO]).unwrap_err(), Flaw::Doubled);
        let twice = frame("1-11", "delta", r#"{"text":"hello world","attempt":1}"#);
        assert_eq!(judge(&[status(1), HELLO, twice]).unwrap_err(), Flaw::Doubled);
        let done = end("1-end", "done", DONE_1);
        assert_eq!(judge(&[status(1), HELLO, WORLD, done, done]).unwrap_err(), Flaw::Doubled);
        assert_eq!(judge(&[status(1), HELLO, status(1)]).unwrap_err(), Flaw::Doubled);
    }

    #[test]
    fn missing_text_is_refused() {
        assert_eq!(judge(&[status(1), WORLD]).unwrap_err(), Flaw::Gap);
        assert_eq!(judge(&[status(1), HELLO, end("1-end", "done", DONE_1)]).unwrap_err(), Flaw::Gap);
        let mut resumed = Transcript::resumed("1-3", "hel");
        assert_eq!(resumed.take(&WORLD).unwrap_err().flaw, Flaw::Gap);
    }

    #[test]
    fn attempts_that_mix_are_refused() {
        assert_eq!(judge(&[status(1), HELLO, AGAIN]).unwrap_err(), Flaw::Mixed);
        assert_eq!(judge(&[status(1), HELLO, status(2)]).unwrap_err(), Flaw::Mixed);
        assert_eq!(judge(&[status(1), HELLO, RESET, AGAIN]).unwrap_err(), Flaw::Mixed);
        assert_eq!(judge(&[status(1), HELLO, end("2-end", "done", DONE_2)]).unwrap_err(), Flaw::Mixed);
        let lying = frame("1-5", "delta", r#"{"text":"hello","attempt":2}"#);
        assert_eq!(judge(&[status(1), lying]).unwrap_err(), Flaw::Mixed);
        let other = r#"{"id":"t","status":"completed","attempt":1,"reply":{"message_id":"m","content":"HELLO world"},"error":null}"#;
        assert_eq!(judge(&[status(1), HELLO, WORLD, end("1-end", "done", other)]).unwrap_err(), Flaw::Mixed);
    }

    #[test]
    fn what_is_no_event_is_refused() {
        for strange in [
            frame("", "status", "{}"),
            frame("1-0", "party", "{}"),
            frame("1-0", "status", "{"),
            frame("x-1", "delta", "{}"),
        ] {
            assert_eq!(judge(&[strange]).unwrap_err(), Flaw::BadAnswer, "{strange:?}");
        }
        assert_eq!(judge(&[status(1), HELLO, WORLD, end("1-end", "failed", DONE_1)]).unwrap_err(), Flaw::BadAnswer);
    }

    #[test]
    fn resuming_goes_on_where_it_was() {
        let mut resumed = Transcript::resumed("1-5", "hello");
        resumed.take(&WORLD).unwrap();
        resumed.take(&end("1-end", "done", DONE_1)).unwrap();
        let mut reset = Transcript::resumed("1-5", "hello");
        reset.take(&RESET).unwrap();
        assert_eq!(reset.text(), "");
    }
}
