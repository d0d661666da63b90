//! The log as `chat.completion.chunk`s.
//!
//! What was sent can't be taken back in this protocol, so that a new attempt is gone on with only as long as nothing of an
//! earlier one was sent; else the stream ends with an error, and never mixes two attempts.

use std::io;

use bytes::{BufMut as _, BytesMut};
use http::StatusCode;
use parlance_shared::{
    TaskId,
    content::ToolCall,
    log_view::{Entry, LogEvent},
    task::{Status, Task},
};
use serde::Serialize;
use serde_json::json;

use super::completion::{CallView, UsageView, finish_reason, id_of};
use crate::{openai::error::OpenAiError, reply_view::ReplyView};

/// The start of the answer, so that the client knows that there will be one.
const ROLE: &[u8] = br#"{"role":"assistant","content":"","refusal":null}"#;
const DONE: &[u8] = b"data: [DONE]\n\n";

/// One stream.
pub(crate) struct ChatView {
    task: TaskId,
    created: i64,
    /// What all chunks begin with.
    head: Vec<u8>,
    include_usage: bool,
    /// Something of an attempt was sent.
    said: bool,
    /// Calls of tools that were sent.
    calls: usize,
    over: bool,
}

#[derive(Serialize)]
struct Text<'a> {
    content: &'a str,
}

#[derive(Serialize)]
struct Calls {
    tool_calls: [CallView; 1],
}

impl ChatView {
    /// `model` is the one that is asked for; the last chunks name the one that answered.
    pub(crate) fn new(task: TaskId, created: i64, model: &str, include_usage: bool) -> Self {
        let head = head(task, created, model);
        Self { task, created, head, include_usage, said: false, calls: 0, over: false }
    }

    /// A chunk, but for its end.
    fn begin(&self, out: &mut BytesMut) {
        out.put_slice(&self.head);
    }

    fn finish(&self, out: &mut BytesMut, reason: Option<&str>) {
        // One of four words, or none: nothing that needs escaping.
        match reason {
            Some(reason) => {
                out.put_slice(br#","logprobs":null,"finish_reason":""#);
                out.put_slice(reason.as_bytes());
                out.put_slice(br#""}]"#);
            }
            None => out.put_slice(br#","logprobs":null,"finish_reason":null}]"#),
        }
        if self.include_usage {
            out.put_slice(br#","usage":null"#);
        }
        out.put_slice(b"}\n\n");
    }

    fn choice(&self, out: &mut BytesMut, delta: &impl Serialize) -> io::Result<()> {
        self.begin(out);
        out.put_slice(br#","choices":[{"index":0,"delta":"#);
        serde_json::to_writer(out.writer(), delta)?;
        self.finish(out, None);
        Ok(())
    }

    fn call(&mut self, out: &mut BytesMut, call: ToolCall) -> io::Result<()> {
        self.choice(out, &Calls { tool_calls: [CallView::at(self.calls, call)] })?;
        self.calls += 1;
        Ok(())
    }

    fn end(&mut self, out: &mut BytesMut, task: &Task) -> io::Result<()> {
        self.over = true;
        if task.status != Status::Completed {
            return OpenAiError::of_task(task).write_frame(out);
        }
        if let Some(model) = &task.model {
            self.head = head(self.task, self.created, model);
        }
        self.begin(out);
        out.put_slice(br#","choices":[{"index":0,"delta":{}"#);
        self.finish(out, Some(finish_reason(task)));
        if self.include_usage {
            self.begin(out);
            out.put_slice(br#","choices":[],"usage":"#);
            serde_json::to_writer(out.writer(), &UsageView::of(&task.usage))?;
            out.put_slice(b"}\n\n");
        }
        out.put_slice(DONE);
        Ok(())
    }

    fn break_off(&mut self, out: &mut BytesMut, code: &'static str, why: &str) -> io::Result<()> {
        self.over = true;
        OpenAiError::goes_on(self.task, StatusCode::SERVICE_UNAVAILABLE, code, why).write_frame(out)
    }
}

impl ReplyView for ChatView {
    fn open(&mut self, out: &mut BytesMut) {
        self.begin(out);
        out.put_slice(br#","choices":[{"index":0,"delta":"#);
        out.put_slice(ROLE);
        self.finish(out, None);
    }

    fn entry(&mut self, out: &mut BytesMut, entry: &Entry) -> io::Result<()> {
        match &entry.event {
            _ if self.over => Ok(()),
            LogEvent::Status(_) => Ok(()),
            LogEvent::Delta(delta) => {
                self.said = true;
                self.choice(out, &Text { content: &delta.text })
            }
            LogEvent::ToolCall(call) => {
                self.said = true;
                self.call(out, call.tool_call.clone())
            }
            LogEvent::Reset(_) if self.said => {
                let why = "The reply had to begin anew, and what was sent of it is no longer part of it.";
                self.break_off(out, "reply_restarted", why)
            }
            LogEvent::Reset(_) => Ok(()),
            LogEvent::End(task) => self.end(out, task),
        }
    }

    fn part(&mut self, out: &mut BytesMut) {
        if !self.over {
            let before = out.len();
            let written = self.break_off(out, "stream_interrupted", "The stream was broken off on our side.");
            if written.is_err() {
                out.truncate(before);
            }
        }
    }

    fn is_over(&self) -> bool {
        self.over
    }

    /// This protocol has no way back into a stream.
    fn can_go_on(&self) -> bool {
        false
    }
}

/// `data: {` and the members that are the same in all chunks.
fn head(task: TaskId, created: i64, model: &str) -> Vec<u8> {
    let (id, model) = (id_of(task), json!(model));
    format!(
        r#"data: {{"id":"{id}","object":"chat.completion.chunk","created":{created},"model":{model},"system_fingerprint":null"#
    )
    .into_bytes()
}

#[cfg(test)]
mod tests;
