//! What a process does in the log, and how often.

use std::time::Duration;

use parlance_shared::retry::{Retries, RetryPolicy};

/// What a process does with turns and their log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Claims tasks and writes their replies. Two connections beside the pool.
    Worker,
    /// Reads replies. Two connections beside the pool.
    Reader,
    /// Both, in one process. Three connections beside the pool.
    Both,
}

impl Role {
    pub(crate) fn writes(self) -> bool {
        matches!(self, Self::Worker | Self::Both)
    }

    pub(crate) fn reads(self) -> bool {
        matches!(self, Self::Reader | Self::Both)
    }
}

/// How the log works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// What this process does.
    pub role: Role,
    /// The least time from one flush to the next, unless something is urgent, such as the first text of a reply.
    pub flush_every: Duration,
    /// How old text may get before it is stored for resume.
    pub store_every: Duration,
    /// How long a reply's text stays with its turn. Longer than the bus keeps messages for replay.
    pub keep_replies: Duration,
}

impl LogOptions {
    /// The usual ones.
    pub fn new(role: Role) -> Self {
        Self {
            role,
            flush_every: Duration::from_millis(15),
            store_every: Duration::from_secs(1),
            keep_replies: Duration::from_secs(8 * 24 * 3600),
        }
    }
}

/// Waits between tries to reach a database that is away, for as long as the process runs.
pub(crate) struct RetryWait(Retries);

const POLICY: RetryPolicy = RetryPolicy {
    first: Duration::from_millis(50),
    longest: Duration::from_secs(1),
    budget: Duration::from_secs(u32::MAX as u64),
};

impl RetryWait {
    pub(crate) fn new() -> Self {
        Self(POLICY.start())
    }

    pub(crate) fn next(&mut self) -> Duration {
        self.0.next_wait().unwrap_or(POLICY.longest)
    }

    /// It worked: the next trouble is a new one.
    pub(crate) fn reset(&mut self) {
        *self = Self::new();
    }
}
