//! The world that a suite runs in, and what it puts there.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use parlance_shared::{
    MessageId, SessionId, TaskId, UserId,
    id::PrefixedId as _,
    port::{
        reply_log::ReplyLog,
        turns::{Checkpoint, CheckpointTurn, Claim, ClaimOutcome, TurnEnd, TurnRequest, Turns, WorkerId},
    },
    task::{Status, Usage},
};
use uuid::Uuid;

/// How long claims in the suites last.
pub const LEASE: Duration = Duration::from_secs(10);

/// A fresh, empty adapter and power over its surroundings.
#[async_trait(?Send)]
pub trait TurnsHarness: Send + Sync + Sized {
    /// The adapter.
    fn turns(&self) -> Arc<dyn Turns>;
    /// The log that belongs to it.
    fn log(&self) -> Arc<dyn ReplyLog>;
    /// The same data after a `kill -9` of the process that had the adapter.
    async fn restart(self) -> Self;
    /// Lets so much time pass for leases.
    async fn advance(&self, by: Duration);
}

pub(super) struct Turn {
    pub(super) request: TurnRequest,
}

impl Turn {
    pub(super) fn new(user: &str) -> Self {
        let fresh = Uuid::now_v7;
        Self {
            request: TurnRequest {
                task_id: TaskId::from_uuid(fresh()),
                session_id: SessionId::from_uuid(fresh()),
                user_id: UserId::new(user),
                message_id: MessageId::from_uuid(fresh()),
                reply_message_id: MessageId::from_uuid(fresh()),
                accepted_at: DateTime::<Utc>::from_timestamp_millis(1_700_000_000_123).unwrap(),
                fingerprint: Some("f".into()),
                reopen: None,
            },
        }
    }

    pub(super) fn in_session(mut self, session: SessionId) -> Self {
        self.request.session_id = session;
        self
    }

    pub(super) fn worker(name: &str) -> WorkerId {
        WorkerId(name.to_owned())
    }
}

pub(super) async fn claimed(world: &impl TurnsHarness, turn: &Turn, worker: &str) -> Claim {
    match world.turns().claim(&turn.request, &Turn::worker(worker), LEASE).await.unwrap() {
        ClaimOutcome::Claimed(claim) => claim,
        other => panic!("not granted: {other:?}"),
    }
}

pub(super) fn completed(content: &str) -> TurnEnd {
    TurnEnd {
        status: Status::Completed,
        content: content.to_owned(),
        provider: Some("mock".into()),
        model: Some("m".into()),
        usage: Usage { input_tokens: Some(3), output_tokens: Some(2), cached_tokens: None },
        first_token_at: None,
        error: None,
        details: Default::default(),
    }
}

pub(super) fn with_window(turn: &Turn, reply: &str) -> Checkpoint {
    let said = CheckpointTurn {
        task_id: turn.request.task_id,
        user: "hi".into(),
        assistant: reply.to_owned(),
        input: Default::default(),
        tokens: Default::default(),
        tool_calls: Default::default(),
        accepted_at: Some(turn.request.accepted_at),
    };
    Checkpoint { window: vec![said], ..Checkpoint::default() }
}
