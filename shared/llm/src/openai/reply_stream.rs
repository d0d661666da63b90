//! Turns the response's bytes into the reply's pieces.
//!
//! The hot path of the whole product: a hundred events a reply. `sse-core` splits the bytes into events without I/O and
//! in linear time, and bounds an event's size (`eventsource-stream`, the usual choice, does neither: it copies the rest
//! of its buffer for every line). There is one timer per reply; it is moved when it fires, not for every token.

use std::{
    collections::VecDeque,
    future::Future as _,
    num::NonZeroUsize,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::Stream;
use parlance_shared::{
    port::llm::{LlmError, LlmErrorKind, LlmEvent},
    task::Usage,
};
use sse_core::{MessageEvent, SseDecoder, SseEvent};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    chunk::Chunk,
    deadlines::Deadlines,
    redact::Redactor,
    refusal,
    tool_calls::{Assembly, TooMany},
};
use crate::http_client;

/// An event may be larger than the largest reply by this: for what is around the text.
const EVENT_OVERHEAD: usize = 64 * 1024;
/// How long `[DONE]` may stay the last thing read. Read to its end, the connection serves the next request.
const DRAIN: Duration = Duration::from_millis(20);

/// The first letters of `data`, `event`, `id`, `retry`, a comment, an empty line, a byte order mark.
const EVENT_STREAM_BEGINS: &[u8] = b"deir:\r\n\xef";

/// The reply of one request. Dropping it drops the connection, unless the body was read to its end.
pub(super) struct ReplyStream<S> {
    body: Pin<Box<S>>,
    decoder: SseDecoder,
    unread: Bytes,
    bytes_since_event: usize,
    event_limit: usize,
    timer: Pin<Box<Sleep>>,
    deadlines: Deadlines,
    redactor: Redactor,
    reply: Progress,
    phase: Phase,
    /// What is still to be given once the reply has ended.
    last: VecDeque<LlmEvent>,
}

/// How far the reply has come.
#[derive(Default)]
struct Progress {
    bytes: usize,
    max_bytes: usize,
    has_words: bool,
    refused: bool,
    finished: bool,
    first_byte: Option<u8>,
    body_ended: bool,
    /// An error that came along with text: the text goes first.
    failed: Option<LlmError>,
    model: Option<String>,
    usage: Usage,
    finish_reason: Option<String>,
    calls: Assembly,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Reading,
    /// `[DONE]` was read.
    Draining,
    Over,
}

/// What the body's source can fail with.
pub(super) trait BodyError {
    fn into_detail(self) -> String;
}

impl BodyError for reqwest::Error {
    fn into_detail(self) -> String {
        http_client::chain_of(self)
    }
}

impl<S, E> ReplyStream<S>
where
    S: Stream<Item = Result<Bytes, E>>,
    E: BodyError,
{
    pub(super) fn new(body: S, deadlines: Deadlines, max_reply_bytes: usize, redactor: Redactor) -> Self {
        let event_limit = max_reply_bytes.saturating_add(EVENT_OVERHEAD);
        Self {
            body: Box::pin(body),
            decoder: SseDecoder::with_limit(NonZeroUsize::new(event_limit).unwrap_or(NonZeroUsize::MIN)),
            unread: Bytes::new(),
            bytes_since_event: 0,
            event_limit,
            timer: Box::pin(sleep_until(deadlines.next())),
            deadlines,
            redactor,
            reply: Progress { max_bytes: max_reply_bytes, ..Progress::default() },
            phase: Phase::Reading,
            last: VecDeque::new(),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<LlmEvent, LlmError>>> {
        loop {
            match self.phase {
                Phase::Over => return Poll::Ready(self.last.pop_front().map(Ok)),
                Phase::Draining => return self.poll_drain(cx),
                Phase::Reading => {}
            }
            if let Some(item) = self.next_in_buffer() {
                return Poll::Ready(Some(item));
            }
            if self.phase != Phase::Reading {
                continue;
            }
            if self.reply.body_ended {
                return Poll::Ready(Some(self.end_of_body()));
            }
            match self.body.as_mut().poll_next(cx) {
                Poll::Ready(Some(Ok(bytes))) => {
                    // Also a source that never runs dry has to keep to the deadlines.
                    if Instant::now() >= self.deadlines.next() {
                        return Poll::Ready(Some(self.out_of_time()));
                    }
                    self.reply.first_byte = self.reply.first_byte.or_else(|| bytes.first().copied());
                    self.unread = bytes;
                }
                Poll::Ready(Some(Err(error))) => {
                    let detail = self.redactor.clean(&error.into_detail());
                    return Poll::Ready(Some(self.cut(detail)));
                }
                Poll::Ready(None) => self.reply.body_ended = true,
                Poll::Pending => return self.poll_timer(cx).map(Some),
            }
        }
    }

    /// The next piece in what has been read.
    fn next_in_buffer(&mut self) -> Option<Result<LlmEvent, LlmError>> {
        if let Some(error) = self.reply.failed.take() {
            return Some(self.give_up(error));
        }
        while self.phase == Phase::Reading {
            let before = self.unread.len();
            let event = self.decoder.next(&mut self.unread);
            self.bytes_since_event += before - self.unread.len();
            match event {
                None if self.bytes_since_event > self.event_limit.saturating_mul(2) => {
                    return Some(self.fail(LlmErrorKind::BadResponse, "no event among much data"));
                }
                None => return None,
                Some(Ok(SseEvent::Retry(_))) => {}
                Some(Ok(SseEvent::Message(event))) => {
                    self.bytes_since_event = 0;
                    if let Some(item) = self.on_event(&event) {
                        return Some(item);
                    }
                }
                Some(Err(_)) => {
                    let detail = format!("an event is larger than {} bytes", self.event_limit);
                    return Some(self.fail(LlmErrorKind::ReplyTooLong, detail));
                }
            }
        }
        None
    }

    fn on_event(&mut self, event: &MessageEvent) -> Option<Result<LlmEvent, LlmError>> {
        let data = event.data.trim();
        if data == "[DONE]" {
            self.reply.finished = true;
            self.phase = Phase::Draining;
            self.timer.as_mut().reset(Instant::now() + DRAIN);
            return None;
        }
        if data.is_empty() {
            return None;
        }
        let chunk: Chunk = match serde_json::from_str(data) {
            Ok(chunk) => chunk,
            Err(error) => return Some(self.unreadable(event, &error)),
        };
        self.reply.failed = chunk.error.as_ref().and_then(|error| refusal::from_value(error, &self.redactor));
        if self.reply.failed.is_none() && event.event == "error" {
            return Some(self.unnamed_error(data));
        }
        let item = self.on_chunk(chunk);
        item.or_else(|| self.reply.failed.take().map(|error| self.give_up(error)))
    }

    fn on_chunk(&mut self, chunk: Chunk) -> Option<Result<LlmEvent, LlmError>> {
        let said = chunk.into_said();
        let reply = &mut self.reply;
        if reply.model.is_none() {
            reply.model = said.model;
        }
        if let Some(usage) = said.usage {
            reply.usage = usage;
        }
        reply.refused |= said.refusal;
        let is_calling = !said.tool_calls.is_empty();
        for piece in said.tool_calls {
            match reply.calls.add(piece) {
                Ok(bytes) => reply.bytes += bytes,
                Err(TooMany) => {
                    let error = LlmError::new(LlmErrorKind::BadResponse, "the reply calls more tools than it may");
                    reply.failed.get_or_insert(error);
                }
            }
        }
        if said.text.is_some() || said.reasoning || said.refusal || is_calling {
            self.deadlines.token(Instant::now());
        }
        if let Some(reason) = said.finish_reason.as_deref() {
            match reason {
                "content_filter" => reply.refused = true,
                "error" if reply.failed.is_none() => {
                    let detail = "it finished with the reason error";
                    reply.failed = Some(LlmError::new(LlmErrorKind::Unavailable, detail));
                }
                _ => {}
            }
            reply.finish_reason = said.finish_reason;
            reply.finished = true;
            self.deadlines.finishing(Instant::now());
        }
        // A deadline that has come nearer would be missed by a timer that is only moved when it fires.
        if self.deadlines.next() < self.timer.deadline() {
            self.timer.as_mut().reset(self.deadlines.next());
        }
        let reply = &mut self.reply;
        reply.bytes += said.text.as_ref().map_or(0, String::len);
        if reply.bytes > reply.max_bytes {
            let detail = format!("the reply is longer than {} bytes", reply.max_bytes);
            return Some(self.fail(LlmErrorKind::ReplyTooLong, detail));
        }
        let text = said.text?;
        reply.has_words = reply.has_words || !text.trim().is_empty();
        Some(Ok(LlmEvent::Delta(text)))
    }

    /// Data that is no chunk. Where it stands is told, what it says is not: it may be part of the conversation.
    fn unreadable(&mut self, event: &MessageEvent, error: &serde_json::Error) -> Result<LlmEvent, LlmError> {
        if let Some(error) = refusal::from_event(event.data.as_bytes(), &self.redactor) {
            return self.give_up(error);
        }
        if event.event == "error" {
            return self.unnamed_error(&event.data);
        }
        let detail = format!(
            "an event of {} bytes is no chunk: {:?} error at column {}",
            event.data.len(),
            error.classify(),
            error.column()
        );
        self.fail(LlmErrorKind::BadResponse, detail)
    }

    /// An `event: error` whose data have no `error` field: they are the error.
    fn unnamed_error(&mut self, data: &str) -> Result<LlmEvent, LlmError> {
        let value = serde_json::from_str(data).unwrap_or_else(|_| serde_json::Value::from(data));
        match refusal::from_value(&value, &self.redactor) {
            Some(error) => self.give_up(error),
            None => self.fail(LlmErrorKind::Unavailable, "an error event without a reason"),
        }
    }

    /// After `[DONE]`: reads on to the end of the body, shortly, and reports the end of the reply in any case.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<LlmEvent, LlmError>>> {
        loop {
            match self.body.as_mut().poll_next(cx) {
                Poll::Ready(Some(Ok(_))) if Instant::now() < self.timer.deadline() => {}
                Poll::Ready(_) => return Poll::Ready(Some(self.finish())),
                Poll::Pending => return self.timer.as_mut().poll(cx).map(|()| Some(self.finish())),
            }
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Result<LlmEvent, LlmError>> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let deadline = self.deadlines.next();
            if Instant::now() >= deadline {
                return Poll::Ready(self.out_of_time());
            }
            // Tokens have come since it was set.
            self.timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    fn end_of_body(&mut self) -> Result<LlmEvent, LlmError> {
        // A last event may lack its empty line; what it says still counts. If it is half an event, it is a cut.
        self.unread = Bytes::from_static(b"\n\n");
        let was_finished = self.reply.finished;
        match self.next_in_buffer() {
            Some(Err(error)) if error.kind == LlmErrorKind::BadResponse => {
                self.phase = Phase::Reading;
                if was_finished { self.finish() } else { self.cut("the stream ended within an event".to_owned()) }
            }
            Some(item) => item,
            None if self.phase == Phase::Draining => self.finish(),
            None => self.cut("the stream ended".to_owned()),
        }
    }

    /// The body ended or broke.
    fn cut(&mut self, detail: String) -> Result<LlmEvent, LlmError> {
        if self.reply.finished {
            return self.finish();
        }
        if self.reply.first_byte.is_some_and(|byte| !EVENT_STREAM_BEGINS.contains(&byte)) {
            return self.fail(LlmErrorKind::BadResponse, "the answer is no event stream");
        }
        self.fail(LlmErrorKind::StreamCut, detail)
    }

    fn out_of_time(&mut self) -> Result<LlmEvent, LlmError> {
        if self.reply.finished {
            return self.finish();
        }
        let error = self.deadlines.passed(Instant::now());
        self.give_up(error)
    }

    fn finish(&mut self) -> Result<LlmEvent, LlmError> {
        if self.reply.refused {
            return self.fail(LlmErrorKind::ContentRefused, "the provider's filter ended the reply");
        }
        let calls = std::mem::take(&mut self.reply.calls).into_calls();
        if !self.reply.has_words && calls.is_empty() {
            return self.fail(LlmErrorKind::EmptyReply, "the reply has no text");
        }
        self.phase = Phase::Over;
        let end = LlmEvent::Finished {
            model: self.reply.model.take(),
            usage: self.reply.usage,
            finish_reason: self.reply.finish_reason.take(),
        };
        let mut events = calls.into_iter().map(LlmEvent::ToolCall);
        let Some(first) = events.next() else { return Ok(end) };
        self.last.extend(events.chain([end]));
        Ok(first)
    }

    fn fail(&mut self, kind: LlmErrorKind, detail: impl Into<String>) -> Result<LlmEvent, LlmError> {
        self.give_up(LlmError::new(kind, detail))
    }

    fn give_up(&mut self, error: LlmError) -> Result<LlmEvent, LlmError> {
        self.phase = Phase::Over;
        Err(error)
    }
}

impl<S, E> Stream for ReplyStream<S>
where
    S: Stream<Item = Result<Bytes, E>>,
    E: BodyError,
{
    type Item = Result<LlmEvent, LlmError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

#[cfg(test)]
mod tests;
