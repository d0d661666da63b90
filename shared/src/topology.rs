//! The topics and subscriptions of a deployment.

use std::time::Duration;

use crate::port::bus::{Subscription, Topic};

/// What ingest-api publishes: accepted messages and changes of sessions.
pub const REQUESTS: Topic = Topic("parlance-requests");

/// What llm-worker publishes: the ends of tasks.
pub const REPLIES: Topic = Topic("parlance-replies");

/// What llm-worker asks of itself between turns: summaries and headings.
pub const MEMORY: Topic = Topic("parlance-memory");

/// What persist-worker asks of itself once an end is on record: to tell a webhook of it.
pub const WEBHOOK_DUE: Topic = Topic("parlance-webhooks");

/// llm-worker's view of [`REQUESTS`].
pub const LLM_WORKER: Subscription = Subscription {
    name: "llm-worker",
    topic: REQUESTS,
    lease: Duration::from_secs(30),
    retry_min: Duration::from_millis(500),
    retry_max: Duration::from_secs(30),
    max_unanswered: 10,
};

/// llm-worker's view of [`MEMORY`].
pub const LLM_MEMORY: Subscription = Subscription {
    name: "llm-memory",
    topic: MEMORY,
    lease: Duration::from_secs(30),
    retry_min: Duration::from_secs(1),
    retry_max: Duration::from_secs(300),
    max_unanswered: 10,
};

/// persist-worker's view of [`REQUESTS`].
pub const PERSIST_REQUESTS: Subscription = Subscription { name: "persist-requests", ..PERSIST };

/// persist-worker's view of [`REPLIES`].
pub const PERSIST_REPLIES: Subscription = Subscription { name: "persist-replies", topic: REPLIES, ..PERSIST };

/// persist-worker's view of [`WEBHOOK_DUE`].
pub const WEBHOOKS: Subscription = Subscription {
    name: "webhooks",
    topic: WEBHOOK_DUE,
    lease: Duration::from_secs(30),
    retry_min: Duration::from_secs(1),
    retry_max: Duration::from_secs(3600),
    max_unanswered: 10,
};

/// All subscriptions.
pub const ALL: [Subscription; 5] = [LLM_WORKER, LLM_MEMORY, PERSIST_REQUESTS, PERSIST_REPLIES, WEBHOOKS];

const PERSIST: Subscription = Subscription {
    name: "",
    topic: REQUESTS,
    lease: Duration::from_secs(30),
    retry_min: Duration::from_millis(250),
    retry_max: Duration::from_secs(60),
    max_unanswered: 10,
};
