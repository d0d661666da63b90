//! Replies that a test writes and reads.

#![allow(clippy::expect_used, reason = "a test fails by panicking, and so do its helpers")]

use std::time::Duration;

use parlance_conformance::wait::PATIENCE;
use parlance_shared::{
    MessageId, SessionId, TaskId, UserId,
    cursor::Cursor,
    id::PrefixedId as _,
    log_view::{Entry, LogEvent},
    port::{
        reply_log::{ReplyLog as _, ReplyReader, ReplyWriter},
        turns::{Claim, ClaimOutcome, TurnEnd, TurnRequest, Turns as _, WorkerId},
    },
    task::{Status, Task, Usage},
};
use tokio::time::timeout;
use uuid::Uuid;

use super::process::Process;

pub const LEASE: Duration = Duration::from_secs(10);

pub fn alice() -> UserId {
    UserId::new("alice")
}

pub fn request() -> TurnRequest {
    TurnRequest {
        task_id: TaskId::from_uuid(Uuid::now_v7()),
        session_id: SessionId::from_uuid(Uuid::now_v7()),
        user_id: alice(),
        message_id: MessageId::from_uuid(Uuid::now_v7()),
        reply_message_id: MessageId::from_uuid(Uuid::now_v7()),
        accepted_at: chrono::DateTime::from_timestamp_millis(1_790_000_000_000).unwrap(),
        fingerprint: None,
        reopen: None,
    }
}

impl Process {
    pub async fn claim(&self, request: &TurnRequest) -> Claim {
        let worker = WorkerId(format!("worker of {:p}", self.turns));
        match self.turns.claim(request, &worker, LEASE).await.unwrap() {
            ClaimOutcome::Claimed(claim) => claim,
            other => panic!("not granted: {other:?}"),
        }
    }

    pub async fn finish(&self, claim: &Claim, content: &str) -> Task {
        let end = TurnEnd {
            status: Status::Completed,
            content: content.to_owned(),
            provider: None,
            model: None,
            usage: Usage::default(),
            first_token_at: None,
            error: None,
            details: Default::default(),
        };
        self.turns.finish(claim, end, None).await.unwrap()
    }

    pub async fn follow(&self, task: TaskId, after: Option<Cursor>) -> Box<dyn ReplyReader> {
        self.turns.follow(&alice(), task, after).await.unwrap()
    }

    pub async fn writer(&self, claim: &Claim) -> Box<dyn ReplyWriter> {
        self.turns.writer(claim).await.unwrap()
    }

    /// Reads a task to its end beside the test.
    pub fn read(&self, task: TaskId) -> tokio::task::JoinHandle<Vec<Entry>> {
        let turns = self.turns.clone();
        self.lifecycle.spawn(async move { rest(&mut turns.follow(&alice(), task, None).await.unwrap()).await })
    }
}

pub async fn next(reader: &mut Box<dyn ReplyReader>) -> Entry {
    timeout(PATIENCE, reader.next()).await.expect("the reader was not woken").unwrap().expect("the log ended")
}

pub async fn rest(reader: &mut Box<dyn ReplyReader>) -> Vec<Entry> {
    let mut entries = Vec::new();
    while let Some(entry) = timeout(PATIENCE, reader.next()).await.expect("the reader hangs").unwrap() {
        entries.push(entry);
    }
    entries
}

/// Reads until so much text was shown.
pub async fn until_shown(reader: &mut Box<dyn ReplyReader>, bytes: usize) -> Vec<Entry> {
    let mut entries = Vec::new();
    while shown(&entries).len() < bytes {
        entries.push(next(reader).await);
    }
    entries
}

/// The text that a client shows after these entries: a reset clears it.
pub fn shown(entries: &[Entry]) -> String {
    let mut text = String::new();
    for entry in entries {
        match &entry.event {
            LogEvent::Delta(delta) => text.push_str(&delta.text),
            LogEvent::Reset(_) => text.clear(),
            LogEvent::Status(_) | LogEvent::ToolCall(_) | LogEvent::End(_) => {}
        }
    }
    text
}

pub fn names(entries: &[Entry]) -> Vec<&'static str> {
    let mut names: Vec<_> = entries.iter().map(|entry| entry.event.name()).collect();
    names.dedup();
    names
}
