//! When a provider has been silent for too long.
//!
//! A *token* is any event that brings the reply on: text, but also the thoughts of a model that thinks aloud first.
//! Comments and empty events do not count: a proxy's keep-alives must not hide a model that hangs.

use std::time::Duration;

use parlance_shared::port::llm::{LlmError, LlmErrorKind};
use tokio::time::Instant;

/// After the finish reason only the usage and `[DONE]` are missing; a provider that sends neither is not waited for.
const AFTER_FINISH: Duration = Duration::from_secs(2);

/// The deadlines of one reply.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadlines {
    idle: Duration,
    reply: Instant,
    token: Instant,
    waits_for: WaitsFor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WaitsFor {
    FirstToken,
    NextToken,
    Usage,
}

impl Deadlines {
    /// The request starts now.
    pub(super) fn start(first_token: Duration, idle: Duration, reply: Duration) -> Self {
        let now = Instant::now();
        Self { idle, reply: now + reply, token: now + first_token, waits_for: WaitsFor::FirstToken }
    }

    /// A token has come.
    pub(super) fn token(&mut self, now: Instant) {
        self.token = now + self.idle;
        self.waits_for = WaitsFor::NextToken;
    }

    /// The finish reason has come.
    pub(super) fn finishing(&mut self, now: Instant) {
        self.token = now + self.idle.min(AFTER_FINISH);
        self.waits_for = WaitsFor::Usage;
    }

    /// When patience ends, if nothing comes until then.
    pub(super) fn next(&self) -> Instant {
        self.token.min(self.reply)
    }

    /// The error of the deadline that has passed.
    pub(super) fn passed(&self, now: Instant) -> LlmError {
        if now >= self.reply {
            return LlmError::new(LlmErrorKind::ReplyTimeout, "the time for the whole reply is up");
        }
        match self.waits_for {
            WaitsFor::FirstToken => LlmError::new(LlmErrorKind::FirstTokenTimeout, "no token came in time"),
            WaitsFor::NextToken | WaitsFor::Usage => {
                LlmError::new(LlmErrorKind::Stalled, format!("no token came for {:?}", self.idle))
            }
        }
    }
}
