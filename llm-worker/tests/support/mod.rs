//! A data folder with its bus and turns, a mock provider, and workers that a test starts and stops.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "helpers of tests fail like tests")]

pub mod parts;
pub mod providers;

use std::{sync::Arc, time::Duration};

use cloudevents::Event;
use llm_worker::LlmWorker;
use parlance_conformance::message::message;
use parlance_mock_llm::{MockLlm, Script};
use parlance_shared::{
    Clock, Lifecycle, SessionId, TaskId, UserId,
    event::{DomainEvent, MessageSubmitted, ReplyCompleted, to_cloud_event},
    id_mint::IdMint,
    log_view::{Entry, LogEvent},
    metrics::Metrics,
    port::{
        bus::{Bus, BusAdmin as _, DeadLetter},
        llm::Llm,
        reply_log::ReplyLog,
        turns::WorkerId,
    },
    providers::Providers,
    replay::Replay,
    settings::{MemorySettings, TurnSettings},
    task::Task,
    topology,
};
use parlance_sqlite::{Database, DatabaseOptions, SqliteBus, SqliteTurns};
use tempfile::TempDir;

pub use parlance_conformance::{
    running::Running,
    wait::{PATIENCE, eventually},
};

/// Everything around the workers of one test.
pub struct World {
    pub user: UserId,
    pub clock: Clock,
    pub mint: IdMint,
    pub bus: Arc<SqliteBus>,
    pub turns: Arc<SqliteTurns>,
    pub mock: MockLlm,
    pub metrics: Arc<Metrics>,
    pub settings: TurnSettings,
    pub memory: MemorySettings,
    lifecycle: Lifecycle,
    _folder: TempDir,
}

impl World {
    pub async fn new(script: Script) -> Self {
        Self::with_clock(script, Clock::system()).await
    }

    pub async fn with_clock(script: Script, clock: Clock) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = DatabaseOptions { clock: clock.clone(), ..DatabaseOptions::new(folder.path()) };
        let database = Database::open(options).await.unwrap();
        let lifecycle = Lifecycle::new();
        let bus = parts::bus(database.clone());
        bus.ensure(&topology::ALL).await.unwrap();
        Self {
            user: UserId::new("alice"),
            clock,
            mint: database.id_mint(),
            bus: Arc::new(bus),
            turns: Arc::new(SqliteTurns::start(database, &lifecycle)),
            mock: MockLlm::start(script).unwrap(),
            metrics: Arc::default(),
            settings: TurnSettings { max_attempts: 3, retry_budget: Duration::from_secs(60), concurrency: 64 },
            // Tests that are about something else are not to find headings among what was published.
            memory: MemorySettings { headings: false, ..MemorySettings::default() },
            lifecycle,
            _folder: folder,
        }
    }

    /// The surroundings of a worker, to be changed before it runs.
    pub fn parts(&self, name: &str) -> LlmWorker {
        LlmWorker {
            bus: self.bus.clone(),
            turns: self.turns.clone(),
            log: self.turns.clone(),
            llm: Arc::new(Providers::alone(self.llm())),
            clock: self.clock.clone(),
            settings: self.settings,
            memory: self.memory,
            prices: Arc::default(),
            budgets: Default::default(),
            metrics: self.metrics.clone(),
            lifecycle: Lifecycle::new(),
            worker_id: WorkerId(name.to_owned()),
        }
    }

    pub fn llm(&self) -> Arc<dyn Llm> {
        parts::llm(&self.mock)
    }

    pub fn start(&self) -> Running {
        run(self.parts("w1"))
    }

    pub fn session(&self) -> SessionId {
        self.mint.mint(&self.user)
    }

    pub fn message(&self, session_id: SessionId, content: &str) -> MessageSubmitted {
        message(&self.mint, &self.clock, &self.user, session_id, content)
    }

    pub async fn publish<E: DomainEvent>(&self, fact: &E) {
        self.publish_event(&fact.ordering_key(), to_cloud_event(fact, "ingest-api", None).unwrap()).await;
    }

    pub async fn publish_event(&self, key: &str, event: Event) {
        self.bus.publish(topology::REQUESTS, key, event).await.unwrap();
    }

    /// Publishes a message in this session and gives its task.
    pub async fn say(&self, session: SessionId, content: &str) -> TaskId {
        let message = self.message(session, content);
        self.publish(&message).await;
        message.task_id
    }

    /// All that a reader of the task sees, to its end.
    pub async fn entries(&self, task: TaskId) -> Vec<Entry> {
        let reading = async {
            let mut reader = self.turns.follow(&self.user, task, None).await.unwrap();
            let mut entries = Vec::new();
            while let Some(entry) = reader.next().await.unwrap() {
                entries.push(entry);
            }
            entries
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("the task does not end")
    }

    /// The task once it has ended.
    pub async fn ended(&self, task: TaskId) -> Task {
        match self.entries(task).await.pop().map(|entry| entry.event) {
            Some(LogEvent::End(task)) => *task,
            other => panic!("no end but {other:?}"),
        }
    }

    /// Waits until a reader has seen at least so many bytes of the running attempt.
    pub async fn spoken(&self, task: TaskId, bytes: usize) -> String {
        let reading = async {
            let mut reader = self.turns.follow(&self.user, task, None).await.unwrap();
            let mut text = String::new();
            while text.len() < bytes {
                match reader.next().await.unwrap().expect("the task ended").event {
                    LogEvent::Delta(delta) => text.push_str(&delta.text),
                    LogEvent::Reset(_) => text.clear(),
                    LogEvent::Status(_) | LogEvent::ToolCall(_) => {}
                    LogEvent::End(task) => panic!("ended early: {task:?}"),
                }
            }
            text
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("the task says nothing")
    }

    /// The ends that were published, oldest first, as soon as there are so many.
    pub async fn published(&self, count: usize) -> Vec<(String, ReplyCompleted)> {
        parts::published(self.bus.as_ref(), count).await
    }

    pub async fn dead_letters(&self) -> Vec<DeadLetter> {
        self.bus.dead_letters(topology::LLM_WORKER).await.unwrap().next_page().await.unwrap()
    }

    /// Has a dead letter delivered again, under a mark of its own.
    pub async fn redrive(&self, letter: &DeadLetter, reopens: bool) -> bool {
        self.redrive_as(letter, &Replay::new("operator@test", &self.clock, reopens)).await
    }

    pub async fn redrive_as(&self, letter: &DeadLetter, replay: &Replay) -> bool {
        self.bus.dead_letters(topology::LLM_WORKER).await.unwrap().redrive(&letter.id, replay).await.unwrap()
    }

    /// The one dead letter, once it is there.
    pub async fn dead_letter(&self) -> DeadLetter {
        eventually("a dead letter", async || self.dead_letters().await.into_iter().next()).await
    }
}

pub fn names(entries: &[Entry]) -> Vec<&'static str> {
    let mut names: Vec<_> = entries.iter().map(|entry| entry.event.name()).collect();
    names.dedup();
    names
}

pub fn text(entries: &[Entry]) -> String {
    let delta = |entry: &Entry| match &entry.event {
        LogEvent::Delta(delta) => Some(delta.text.clone()),
        _ => None,
    };
    entries.iter().filter_map(delta).collect()
}

/// Starts a worker.
pub fn run(worker: LlmWorker) -> Running {
    Running::start(worker.lifecycle.clone(), worker.run())
}
