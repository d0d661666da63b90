//! A reply's log as the events of a response's stream.
//!
//! A pure function of the log and of the last number that the client has seen: all events are made on each reading, in the same
//! order and under the same numbers ([`super::sequence`]), and those that were seen are left out. So a stream goes on from any
//! number, on any instance, days later.
//!
//! **A new attempt.** Nothing that was sent can be taken back in this protocol. The item of the attempt that was given up is done,
//! `incomplete` and without content; the new attempt has an item of its own, at the next index. Who reads later finds the same
//! items: each earlier attempt has one, empty, whatever it had said. The response of the last event has the last attempt's items
//! alone, and that is what clients keep.
//!
//! **Calls of tools** are told at the end, when nothing can replace them any more: a client acts on them.

use std::io;

use bytes::{BufMut as _, BytesMut};
use parlance_shared::{
    TaskId,
    cursor::Place,
    log_view::{Entry, LogEvent},
    task::Task,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    ids::{call_item, message_item},
    known::Known,
    object::{Stand, function_call, message, part},
    sequence::{CREATED, Frame, IN_PROGRESS, QUEUED, number},
};
use crate::reply_view::ReplyView;

/// Writes one response's stream.
pub(super) struct ResponsesView {
    known: Known,
    /// What the client has seen, with all before it.
    seen: Option<u64>,
    /// That an attempt has begun was told.
    in_progress: bool,
    /// The attempt whose item is at hand; 0 before the first.
    attempt: u32,
    /// Its item was added.
    added: bool,
}

#[derive(Serialize)]
struct TextDelta<'a> {
    r#type: &'static str,
    sequence_number: u64,
    item_id: String,
    output_index: u32,
    content_index: u32,
    delta: &'a str,
    logprobs: [(); 0],
}

impl ResponsesView {
    pub(super) fn new(known: Known, seen: Option<u64>) -> Self {
        Self { known, seen, in_progress: false, attempt: 0, added: false }
    }

    fn task(&self) -> TaskId {
        self.known.task
    }

    /// Where the attempt's message is among the items: each earlier attempt left one.
    fn index(&self) -> u32 {
        self.attempt.saturating_sub(1)
    }

    fn send(&self, out: &mut BytesMut, number: u64, kind: &'static str, mut data: Value) -> io::Result<()> {
        if self.seen.is_some_and(|seen| number <= seen) {
            return Ok(());
        }
        data["type"] = kind.into();
        data["sequence_number"] = number.into();
        write(out, kind, &data)
    }

    fn send_of_attempt(&self, out: &mut BytesMut, frame: Frame, kind: &'static str, data: Value) -> io::Result<()> {
        self.send(out, number(self.attempt, frame), kind, data)
    }

    fn begin(&mut self, out: &mut BytesMut) -> io::Result<()> {
        let background = self.known.echo.background;
        let stand = if background { Stand::Queued } else { Stand::InProgress };
        let response = self.known.object(stand, None);
        self.send(out, CREATED, "response.created", json!({"response": response}))?;
        if background {
            self.send(out, QUEUED, "response.queued", json!({"response": response}))?;
        }
        Ok(())
    }

    /// Up to this attempt; the items of earlier ones are done.
    fn reach(&mut self, out: &mut BytesMut, attempt: u32) -> io::Result<()> {
        if attempt > 0 && !self.in_progress {
            let response = self.known.object(Stand::InProgress, None);
            self.send(out, IN_PROGRESS, "response.in_progress", json!({"response": response}))?;
            self.in_progress = true;
        }
        while self.attempt < attempt {
            if self.attempt > 0 {
                self.give_up(out)?;
            }
            self.attempt += 1;
            self.added = false;
        }
        Ok(())
    }

    fn give_up(&mut self, out: &mut BytesMut) -> io::Result<()> {
        if !self.added {
            self.add_item(out)?;
        }
        let item = message(self.task(), self.attempt, "incomplete", None);
        self.item_done(out, Frame::ItemDone, self.index(), &item)
    }

    fn add_item(&mut self, out: &mut BytesMut) -> io::Result<()> {
        let item = message(self.task(), self.attempt, "in_progress", None);
        let data = json!({"output_index": self.index(), "item": item});
        self.added = true;
        self.send_of_attempt(out, Frame::ItemAdded, "response.output_item.added", data)
    }

    /// The item and its part are there before any text.
    fn add_part(&mut self, out: &mut BytesMut) -> io::Result<()> {
        if self.added {
            return Ok(());
        }
        self.add_item(out)?;
        let data = self.of_part(json!({"part": part("")}));
        self.send_of_attempt(out, Frame::PartAdded, "response.content_part.added", data)
    }

    /// The members that say which part is meant.
    fn of_part(&self, mut data: Value) -> Value {
        data["item_id"] = message_item(self.task(), self.attempt).into();
        data["output_index"] = self.index().into();
        data["content_index"] = 0.into();
        data
    }

    fn item_done(&self, out: &mut BytesMut, frame: Frame, index: u32, item: &Value) -> io::Result<()> {
        let data = json!({"output_index": index, "item": item});
        self.send_of_attempt(out, frame, "response.output_item.done", data)
    }

    fn delta(&mut self, out: &mut BytesMut, up_to: u64, text: &str) -> io::Result<()> {
        self.add_part(out)?;
        let sequence_number = number(self.attempt, Frame::TextUpTo(up_to));
        if self.seen.is_some_and(|seen| sequence_number <= seen) {
            return Ok(());
        }
        let kind = "response.output_text.delta";
        let delta = TextDelta {
            r#type: kind,
            sequence_number,
            item_id: message_item(self.task(), self.attempt),
            output_index: self.index(),
            content_index: 0,
            delta: text,
            logprobs: [],
        };
        write(out, kind, &delta)
    }

    fn end(&mut self, out: &mut BytesMut, task: &Task) -> io::Result<()> {
        let stand = Stand::of(task);
        let text = task.reply.content.as_str();
        let mut index = self.index();
        // Text that was sent and then erased with its session still has an item to be done with.
        if !text.is_empty() || self.added {
            self.add_part(out)?;
            let done = self.of_part(json!({"text": text, "logprobs": []}));
            self.send_of_attempt(out, Frame::TextDone, "response.output_text.done", done)?;
            let done = self.of_part(json!({"part": part(text)}));
            self.send_of_attempt(out, Frame::PartDone, "response.content_part.done", done)?;
            let item = message(self.task(), self.attempt, stand.item_word(), Some(text));
            self.item_done(out, Frame::ItemDone, index, &item)?;
            index += 1;
        }
        for n in 0..task.details.tool_calls.len() {
            self.call(out, task, n, index, stand)?;
            index += 1;
        }
        let kind = match stand {
            Stand::Completed => "response.completed",
            Stand::Failed => "response.failed",
            // Clients know no event of their own for a response that was cancelled; they look at its status.
            _ => "response.incomplete",
        };
        let response = self.known.object(stand, Some(task));
        self.send_of_attempt(out, Frame::End, kind, json!({"response": response}))
    }

    fn call(&self, out: &mut BytesMut, task: &Task, n: usize, index: u32, stand: Stand) -> io::Result<()> {
        let Some(call) = task.details.tool_calls.get(n) else { return Ok(()) };
        let mut begun = function_call(self.task(), self.attempt, n, call, "in_progress");
        begun["arguments"] = "".into();
        let added = json!({"output_index": index, "item": begun});
        self.send_of_attempt(out, Frame::CallAdded(n), "response.output_item.added", added)?;
        let id = call_item(self.task(), self.attempt, n);
        let delta = json!({"item_id": id, "output_index": index, "delta": call.arguments});
        self.send_of_attempt(out, Frame::CallArguments(n), "response.function_call_arguments.delta", delta)?;
        let done = json!({"item_id": id, "output_index": index, "name": call.name, "arguments": call.arguments});
        self.send_of_attempt(out, Frame::CallArgumentsDone(n), "response.function_call_arguments.done", done)?;
        let item = function_call(self.task(), self.attempt, n, call, stand.item_word());
        self.item_done(out, Frame::CallDone(n), index, &item)
    }
}

impl ReplyView for ResponsesView {
    fn open(&mut self, out: &mut BytesMut) {
        let before = out.len();
        if self.begin(out).is_err() {
            // Memory takes all that is written to it.
            out.truncate(before);
        }
    }

    fn entry(&mut self, out: &mut BytesMut, entry: &Entry) -> io::Result<()> {
        self.reach(out, entry.cursor.attempt)?;
        match &entry.event {
            LogEvent::Delta(delta) => match entry.cursor.place {
                Place::Text(up_to) => self.delta(out, up_to, &delta.text),
                _ => Ok(()),
            },
            LogEvent::End(task) => self.end(out, task),
            LogEvent::Status(_) | LogEvent::Reset(_) | LogEvent::ToolCall(_) => Ok(()),
        }
    }

    /// There is no word for it that clients would not take for an end: the connection ends without one, and whoever wants the
    /// rest asks for what comes after the last number.
    fn part(&mut self, _: &mut BytesMut) {}
}

/// Clients go by the type; some by the event's name.
fn write(out: &mut BytesMut, kind: &str, data: &impl Serialize) -> io::Result<()> {
    out.put_slice(b"event: ");
    out.put_slice(kind.as_bytes());
    out.put_slice(b"\ndata: ");
    serde_json::to_writer(out.writer(), data)?;
    out.put_slice(b"\n\n");
    Ok(())
}

#[cfg(test)]
mod tests;
