//! The body of a streamed reply: tokens when they are due, then the end or the fault.

use std::{future::pending, io, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    Behaviour, Fault,
    connection::Reset,
    log::Guard,
    reply_text::ReplyText,
    stamp,
    wire::{self, Chunks, Usage},
};

/// Tokens that are due together share a write up to about this size.
const WRITE_BYTES: usize = 64 * 1024;
/// Before a connection is broken on purpose, what was written must have left: the client is to see it.
const BEFORE_CUT: Duration = Duration::from_millis(5);
/// An RST makes the client's kernel drop what its process has not read yet.
const BEFORE_RESET: Duration = Duration::from_millis(50);

/// Everything about one streamed reply.
pub(crate) struct Reply {
    pub(crate) behaviour: Behaviour,
    pub(crate) text: ReplyText,
    pub(crate) chunks: Chunks,
    pub(crate) prompt_tokens: u64,
    pub(crate) include_usage: bool,
    pub(crate) reset: Reset,
    pub(crate) guard: Guard,
    pub(crate) began: Instant,
    /// Counts requests with this text.
    pub(crate) attempt: u32,
}

enum Phase {
    Tokens(u32),
    Fault(Fault),
    Over,
}

type Step = Option<(io::Result<Bytes>, (Reply, Phase))>;

impl Reply {
    pub(crate) fn into_body(self) -> Body {
        Body::from_stream(stream::unfold((self, Phase::Tokens(0)), |(reply, phase)| async move {
            match phase {
                Phase::Tokens(sent) => reply.tokens(sent).await,
                Phase::Fault(fault) => reply.fail(fault).await,
                Phase::Over => None,
            }
        }))
    }

    async fn tokens(self, sent: u32) -> Step {
        let stop = if self.text.tokens == self.behaviour.tokens {
            self.behaviour.tokens_before_fault()
        } else {
            self.text.tokens
        };
        let mut out = Vec::with_capacity(4096);
        if sent == 0 {
            self.chunks.role(&mut out);
        }
        let mut now = sent;
        if stop > 0 {
            sleep_until_due(self.due(sent)).await;
        }
        // One look at the clock for all tokens of a write: they leave together.
        let stamp = self.behaviour.stamp.then(stamp::now);
        while now < stop && out.len() < WRITE_BYTES && self.is_due(now) {
            self.chunks.text(stamp.as_deref().unwrap_or_else(|| self.text.token(now)), &mut out);
            now += 1;
        }
        let phase = if now < stop {
            Phase::Tokens(now)
        } else {
            match self.behaviour.fault.filter(|fault| fault.is_mid_stream()) {
                Some(fault) => Phase::Fault(fault),
                None => {
                    let calls = &self.behaviour.tool_calls;
                    self.chunks.calls(calls, self.attempt, &mut out);
                    self.end(wire::finish_reason(calls), now, &mut out);
                    Phase::Over
                }
            }
        };
        self.guard.sent(now);
        if matches!(phase, Phase::Over) {
            self.guard.end();
        }
        Some((Ok(out.into()), (self, phase)))
    }

    fn end(&self, finish_reason: &str, tokens: u32, out: &mut Vec<u8>) {
        let usage = Usage { prompt: self.prompt_tokens, completion: tokens.into() };
        self.chunks.end(finish_reason, self.include_usage.then_some(usage), out);
    }

    fn due(&self, token: u32) -> Option<Instant> {
        let wait = self.behaviour.first_token_delay + self.behaviour.token_delay * token;
        (!wait.is_zero()).then(|| self.began + wait)
    }

    fn is_due(&self, token: u32) -> bool {
        self.due(token).is_none_or(|due| due <= Instant::now())
    }

    async fn fail(self, fault: Fault) -> Step {
        let sent = self.behaviour.tokens_before_fault();
        let mut out = Vec::new();
        match fault {
            Fault::CutMidStream => {
                sleep(BEFORE_CUT).await;
                self.guard.end();
                return Some((Err(io::ErrorKind::BrokenPipe.into()), (self, Phase::Over)));
            }
            Fault::ResetMidStream => {
                sleep(BEFORE_RESET).await;
                self.guard.end();
                self.reset.set();
                return Some((Err(io::ErrorKind::ConnectionReset.into()), (self, Phase::Over)));
            }
            Fault::CommentsMidStream => {
                sleep(Duration::from_millis(10)).await;
                return Some((Ok(Bytes::from_static(wire::COMMENT)), (self, Phase::Fault(fault))));
            }
            Fault::StallMidStream => pending::<()>().await,
            Fault::ErrorEventMidStream => {
                out = wire::error_event("server_error", None, "The server had an error while processing your request.");
            }
            Fault::RateLimitMidStream => {
                out = wire::error_event("requests", Some("rate_limit_exceeded"), "Rate limit reached for mock-model.");
            }
            Fault::Garbage => {
                out.extend_from_slice(wire::GARBAGE);
                self.end("stop", sent, &mut out);
            }
            Fault::FilterMidStream => self.end("content_filter", sent, &mut out),
            _ => {}
        }
        self.guard.end();
        Some((Ok(out.into()), (self, Phase::Over)))
    }
}

async fn sleep_until_due(due: Option<Instant>) {
    if let Some(due) = due {
        sleep_until(due).await;
    }
}
