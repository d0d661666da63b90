//! A data folder with its bus and store, and workers that a test starts and stops.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::sync::Arc;

use cloudevents::Event;
use parlance_conformance::message::message;
use parlance_shared::{
    Clock, Lifecycle, SessionId, UserId,
    event::{DomainEvent, MessageSubmitted, ReplyCompleted, to_cloud_event},
    id_mint::IdMint,
    metrics::Metrics,
    port::{
        bus::{Bus, BusAdmin as _, DeadLetter, Subscription, Topic},
        store::{Lookup, Store},
    },
    settings::WebhookSettings,
    task::{Status, Task, Timings, Usage},
    topology,
    webhook::WebhookMint,
};
use parlance_sqlite::{Database, DatabaseOptions, SqliteBus, SqliteStore};
use persist_worker::{PersistWorker, Webhooks};
use tempfile::TempDir;

pub use parlance_conformance::{running::Running, wait::eventually};

pub struct World {
    pub user: UserId,
    pub clock: Clock,
    pub mint: IdMint,
    pub bus: Arc<SqliteBus>,
    pub store: Arc<SqliteStore>,
    pub metrics: Arc<Metrics>,
    pub webhooks: WebhookSettings,
    _folder: TempDir,
}

impl World {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(DatabaseOptions::new(folder.path())).await.unwrap();
        let bus = SqliteBus::new(database.clone());
        bus.ensure(&topology::ALL).await.unwrap();
        Self {
            webhooks: WebhookSettings { allow_private: true, ..WebhookSettings::default() },
            user: UserId::new("alice"),
            clock: Clock::system(),
            mint: database.id_mint(),
            bus: Arc::new(bus),
            store: Arc::new(SqliteStore::new(database)),
            metrics: Arc::default(),
            _folder: folder,
        }
    }

    pub fn start(&self) -> Running {
        self.start_with(self.store.clone())
    }

    /// One without the secret that signs webhooks.
    pub fn start_unsigned(&self) -> Running {
        self.start_signing(self.store.clone(), None)
    }

    pub fn start_with(&self, store: Arc<dyn Store>) -> Running {
        self.start_signing(store, Some(WebhookMint::new(&[7; 32])))
    }

    fn start_signing(&self, store: Arc<dyn Store>, mint: Option<WebhookMint>) -> Running {
        let lifecycle = Lifecycle::new();
        let worker = PersistWorker {
            webhooks: Webhooks::new(self.webhooks, mint),
            bus: self.bus.clone(),
            store,
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            lifecycle: lifecycle.clone(),
        };
        Running::start(lifecycle, worker.run())
    }

    pub fn message(&self, session_id: SessionId, content: &str) -> MessageSubmitted {
        message(&self.mint, &self.clock, &self.user, session_id, content)
    }

    pub fn reply(&self, to: &MessageSubmitted, content: &str) -> ReplyCompleted {
        let at = Some(self.clock.now());
        let mut task = Task::queued(to.task_id);
        task.session_id = Some(to.session_id);
        task.message_id = Some(to.message_id);
        task.status = Status::Completed;
        task.attempt = 1;
        task.reply.message_id = Some(to.reply_message_id);
        task.reply.content = content.to_owned();
        task.usage = Usage { input_tokens: Some(3), output_tokens: Some(5), cached_tokens: None };
        task.timings = Timings::from_instants(Some(to.accepted_at), at, at, at);
        ReplyCompleted { user_id: to.user_id.clone(), session_id: to.session_id, task, webhook: None }
    }

    pub async fn publish<E: DomainEvent>(&self, topic: Topic, fact: &E) {
        let event = to_cloud_event(fact, "test", None).unwrap();
        self.publish_event(topic, &fact.ordering_key(), event).await;
    }

    pub async fn publish_event(&self, topic: Topic, key: &str, event: Event) {
        self.bus.publish(topic, key, event).await.unwrap();
    }

    /// The task, once the store has it in this state.
    pub async fn stored(&self, message: &MessageSubmitted, status: Status) -> Task {
        eventually("the task in the store", async || {
            match self.store.task(&self.user, message.task_id).await.unwrap() {
                Lookup::Found(stored) if stored.task.status == status => Some(stored.task),
                _ => None,
            }
        })
        .await
    }

    pub async fn dead_letter(&self, subscription: Subscription) -> DeadLetter {
        eventually("a dead letter", async || {
            self.bus.dead_letters(subscription).await.unwrap().next_page().await.unwrap().into_iter().next()
        })
        .await
    }
}
