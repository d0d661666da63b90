//! The log as the UI message stream, which `useChat` makes its message of.
//!
//! Each attempt is a step. The client only ever appends to a message, so what an attempt said that was given up can't be taken
//! back while the stream lasts: its text parts end with `providerMetadata.parlance.void`, its tool calls with an error, and a
//! `data-reset` part names them. Whoever reads from the start again, by a resume or from the history, gets the last attempt
//! alone. Text parts are ended with their step, so that the mark reaches all of them.

use std::io;

use bytes::BytesMut;
use parlance_shared::{
    content::ToolCall,
    log_view::{Entry, LogEvent, ResetData},
    task::{Status, Task},
};
use serde_json::{Value, json};

use super::{
    chunks::{Chunk, DONE},
    history::UiPart,
    reply::Reply,
};
use crate::reply_view::ReplyView;

const VOID_CALL: &str = "This call is void: the attempt that made it was given up.";
const GOES_ON: &str = "The connection was given up while the reply goes on; resume the stream.";

pub(super) struct UiView {
    reply: Reply,
    in_step: bool,
    /// Text parts of this step, in order.
    texts: Vec<String>,
    /// The last part is text, which the next piece of text is added to.
    in_text: bool,
    /// Tool calls of this step.
    calls: Vec<String>,
}

impl UiView {
    pub(super) fn new(reply: Reply) -> Self {
        Self { reply, in_step: false, texts: Vec::new(), in_text: false, calls: Vec::new() }
    }

    fn start(&mut self, out: &mut BytesMut) -> io::Result<()> {
        Chunk::Start { message_id: &self.reply.message }.write(out)?;
        for (n, part) in std::mem::take(&mut self.reply.before).iter().enumerate() {
            write_part(out, n, part)?;
        }
        Ok(())
    }

    fn start_step(&mut self, out: &mut BytesMut) -> io::Result<()> {
        if self.in_step {
            return Ok(());
        }
        self.in_step = true;
        Chunk::StartStep.write(out)
    }

    fn text(&mut self, out: &mut BytesMut, attempt: u32, delta: &str) -> io::Result<()> {
        self.start_step(out)?;
        if !self.in_text {
            let id = format!("text-{attempt}-{}", self.texts.len());
            Chunk::TextStart { id: &id }.write(out)?;
            self.texts.push(id);
            self.in_text = true;
        }
        let Some(id) = self.texts.last() else { return Ok(()) };
        Chunk::TextDelta { id, delta }.write(out)
    }

    fn call(&mut self, out: &mut BytesMut, call: &ToolCall) -> io::Result<()> {
        self.start_step(out)?;
        self.in_text = false;
        self.calls.push(call.id.clone());
        let (tool_call_id, tool_name) = (call.id.as_str(), call.name.as_str());
        // No arguments at all is how some providers call a tool that has none.
        let arguments = if call.arguments.is_empty() { "{}" } else { &call.arguments };
        match serde_json::from_str::<Value>(arguments) {
            Ok(input) => Chunk::ToolInputAvailable { tool_call_id, tool_name, input }.write(out),
            Err(_) => {
                let error_text = "The model's arguments are not JSON.";
                Chunk::ToolInputError { tool_call_id, tool_name, input: &call.arguments, error_text }.write(out)
            }
        }
    }

    fn end_step(&mut self, out: &mut BytesMut, void: bool) -> io::Result<()> {
        for id in std::mem::take(&mut self.texts) {
            let provider_metadata = void.then(|| json!({"parlance": {"void": true}}));
            Chunk::TextEnd { id: &id, provider_metadata }.write(out)?;
        }
        self.in_text = false;
        self.calls.clear();
        if std::mem::take(&mut self.in_step) {
            Chunk::FinishStep.write(out)?;
        }
        Ok(())
    }

    fn reset(&mut self, out: &mut BytesMut, reset: &ResetData) -> io::Result<()> {
        let ResetData { attempt, reason } = reset;
        progress(out, json!({"state": "restarted", "attempt": attempt, "reason": reason}))?;
        if self.texts.is_empty() && self.calls.is_empty() {
            return self.end_step(out, true);
        }
        for tool_call_id in &self.calls {
            Chunk::ToolOutputError { tool_call_id, error_text: VOID_CALL }.write(out)?;
        }
        let data = json!({"attempt": attempt, "reason": reason, "void": {"text": self.texts, "toolCalls": self.calls}});
        Chunk::DataReset { id: format!("reset-{attempt}"), data }.write(out)?;
        self.end_step(out, true)
    }

    fn end(&mut self, out: &mut BytesMut, task: &Task) -> io::Result<()> {
        let error = task.error.as_ref();
        progress(
            out,
            json!({
                "state": task.status,
                "attempt": task.attempt,
                "task": task.id,
                "provider": task.provider,
                "model": task.model,
                "code": error.map(|error| &error.code),
                "retryable": error.map(|error| error.retryable),
            }),
        )?;
        self.end_step(out, false)?;
        match task.status {
            Status::Failed => {
                let error_text = error.map_or("The reply failed.", |error| &error.message);
                Chunk::Error { error_text }.write(out)?;
            }
            Status::Cancelled => Chunk::Abort { reason: "cancelled" }.write(out)?,
            Status::Queued | Status::Running | Status::Completed => {
                let finish_reason = if task.details.tool_calls.is_empty() { "stop" } else { "tool-calls" };
                Chunk::Finish { finish_reason }.write(out)?;
            }
        }
        out.extend_from_slice(DONE);
        Ok(())
    }
}

impl ReplyView for UiView {
    fn open(&mut self, out: &mut BytesMut) {
        let before = out.len();
        if self.start(out).is_err() {
            out.truncate(before);
        }
    }

    fn entry(&mut self, out: &mut BytesMut, entry: &Entry) -> io::Result<()> {
        match &entry.event {
            LogEvent::Status(data) => {
                progress(out, json!({"state": data.status, "attempt": data.attempt, "task": self.reply.task}))
            }
            LogEvent::Delta(data) => self.text(out, data.attempt, &data.text),
            LogEvent::ToolCall(data) => self.call(out, &data.tool_call),
            LogEvent::Reset(data) => self.reset(out, data),
            LogEvent::End(task) => self.end(out, task),
        }
    }

    /// A stream that only stops would be taken for a whole reply.
    fn part(&mut self, out: &mut BytesMut) {
        let before = out.len();
        let told = progress(out, json!({"state": "interrupted", "task": self.reply.task}))
            .and_then(|()| Chunk::Error { error_text: GOES_ON }.write(out));
        if told.is_err() {
            out.truncate(before);
        }
    }
}

fn progress(out: &mut BytesMut, data: Value) -> io::Result<()> {
    Chunk::DataProgress { transient: true, data }.write(out)
}

/// A part of a step that came before. Its tools were called, so the client is not to call them again: `tool-input-available`
/// would ask for that.
fn write_part(out: &mut BytesMut, n: usize, part: &UiPart) -> io::Result<()> {
    match part {
        UiPart::StepStart => Chunk::StartStep.write(out),
        UiPart::Text { text } => {
            let id = format!("before-{n}");
            Chunk::TextStart { id: &id }.write(out)?;
            Chunk::TextDelta { id: &id, delta: text }.write(out)?;
            Chunk::TextEnd { id: &id, provider_metadata: None }.write(out)
        }
        UiPart::Tool(tool) => {
            let (tool_call_id, tool_name) = (tool.tool_call_id.as_str(), tool.name());
            Chunk::ToolInputStart { tool_call_id, tool_name }.write(out)?;
            let input = tool.input.to_string();
            Chunk::ToolInputDelta { tool_call_id, input_text_delta: &input }.write(out)?;
            match &tool.output {
                Some(output) => Chunk::ToolOutputAvailable { tool_call_id, output }.write(out),
                None => Ok(()),
            }
        }
        UiPart::File { .. } => Ok(()),
    }
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
