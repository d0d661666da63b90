//! Turns on Postgres: claims, ends and checkpoints, for any number of workers on any hosts.
//!
//! Leases run by the database's clock. The fence is the pair (attempt, worker) in the task's row: each write of a worker
//! names both. Who works, and what it says, is told to readers through the log (`log.rs`).

mod alone;
mod cancel;
mod checkpoint;
mod claim;
mod finish;
mod hold;
mod notice;
pub(crate) mod row;
mod spent;
mod view;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use parlance_shared::{
    Lifecycle, SessionId, TaskId, UserId,
    budget::Spent,
    cursor::Cursor,
    port::{
        PortError,
        reply_log::{AppendError, FollowError, ReplyLog, ReplyReader, ReplyWriter},
        turns::{
            CancelOutcome, Claim, ClaimError, ClaimOutcome, TurnEnd, TurnRequest, TurnView, Turns, VersionedCheckpoint,
            WorkerId,
        },
    },
    task::Task,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) use self::{cancel::delete_in, notice::send};
use crate::{
    Database,
    log::{
        self, Counters, Flusher, Follow, HeldClaims, Inbox, Janitor, Listener, LogOptions, LogStats, Outbox, Registry,
        Tail, Writer,
    },
};

/// [`Turns`] and [`ReplyLog`] on Postgres. Clones share their claims and texts.
#[derive(Clone)]
pub struct PostgresTurns {
    database: Database,
    /// Names this process to others.
    process: Uuid,
    worker: Option<Worker>,
    reader: Option<Follow>,
    busy: Arc<Notify>,
    /// What is known of providers may have changed.
    circuit_news: Arc<Notify>,
    counters: Arc<Counters>,
}

/// The part of a process that claims and writes.
#[derive(Clone)]
struct Worker {
    outbox: Arc<Outbox>,
    held: Arc<HeldClaims>,
    /// Wakes the janitor.
    worked: Arc<Notify>,
    options: LogOptions,
    aborting: CancellationToken,
}

impl PostgresTurns {
    /// Starts in this role. What runs beside the calls is run by the lifecycle: the flusher of a worker, the tail of a
    /// reader, a listener. They connect when they are needed and go on when a database that was away is back.
    pub fn start(database: Database, lifecycle: &Lifecycle, options: LogOptions) -> Self {
        let (process, busy, counters) = (Uuid::new_v4(), Arc::new(Notify::new()), Arc::new(Counters::default()));
        let worker = options.role.writes().then(|| {
            let outbox = Arc::new(Outbox::new());
            let held = Arc::new(HeldClaims::new(Arc::clone(&outbox)));
            let aborting = lifecycle.aborting().clone();
            Worker { outbox, held, worked: Arc::new(Notify::new()), options, aborting }
        });
        let reader = options.role.reads().then(|| Follow {
            registry: Arc::new(Registry::default()),
            inbox: Arc::new(Inbox::default()),
            held: worker.as_ref().map(|worker| Arc::clone(&worker.held)),
            busy: Arc::clone(&busy),
        });
        let turns = Self { database, process, worker, reader, busy, circuit_news: Arc::default(), counters };
        turns.run(lifecycle);
        turns
    }

    fn run(&self, lifecycle: &Lifecycle) {
        let database = || self.database.clone();
        if let Some(worker) = &self.worker {
            let flusher = Flusher {
                database: database(),
                outbox: Arc::clone(&worker.outbox),
                held: Arc::clone(&worker.held),
                options: worker.options,
                counters: Arc::clone(&self.counters),
            };
            lifecycle.spawn(flusher.run(lifecycle.clone()));
            let (keep_replies, worked) = (worker.options.keep_replies, Arc::clone(&worker.worked));
            let janitor = Janitor { database: database(), keep_replies, worked };
            lifecycle.spawn(janitor.run(lifecycle.clone()));
        }
        if let Some(Follow { registry, inbox, .. }) = &self.reader {
            let counters = Arc::clone(&self.counters);
            let tail = Tail::new(database(), Arc::clone(registry), Arc::clone(inbox), counters);
            lifecycle.spawn(tail.run(lifecycle.clone()));
        }
        let listener = Listener {
            database: database(),
            process: self.process,
            claims: self.worker.as_ref().map(|worker| Arc::clone(&worker.held)),
            readers: self.reader.as_ref().map(|reader| (Arc::clone(&reader.registry), Arc::clone(&reader.inbox))),
            busy: Arc::clone(&self.busy),
            circuit_news: Arc::clone(&self.circuit_news),
        };
        lifecycle.spawn(listener.run(lifecycle.clone()));
    }

    /// The database, and what fires when the rows of circuits may have changed. For one listener.
    pub(crate) fn circuit_news(&self) -> (Database, Arc<Notify>) {
        (self.database.clone(), Arc::clone(&self.circuit_news))
    }

    /// What the log did so far in this process.
    pub fn log_stats(&self) -> LogStats {
        self.counters.read()
    }

    /// Drops the text of turns that ended longer ago than `age` and that the durable record has; gives their number.
    ///
    /// # Errors
    /// When the database can't be written; what was dropped until then stays dropped.
    pub async fn expire_replies(&self, age: Duration) -> Result<u64, PortError> {
        log::expire_replies(&self.database, age).await
    }

    /// Empties partitions of the reply log whose time is long over; gives their number.
    ///
    /// # Errors
    /// When the database can't be written.
    pub async fn expire_log(&self) -> Result<u32, PortError> {
        Ok(u32::try_from(log::expire_log(&self.database).await?).unwrap_or_default())
    }

    fn worker(&self) -> Result<&Worker, PortError> {
        self.worker.as_ref().ok_or_else(|| wrong_role("claims no tasks"))
    }

    /// The text so far of an attempt, if this process writes or reads it.
    fn text_here(&self, task: TaskId, attempt: u32) -> Option<String> {
        let held = self.worker.as_ref().and_then(|worker| worker.held.find(task));
        if let Some(held) = held.filter(|held| held.attempt() == attempt && !held.stream.is_over()) {
            return Some(held.stream.text());
        }
        self.reader.as_ref()?.registry.find(task)?.text_of(attempt)
    }
}

fn wrong_role(what: &str) -> PortError {
    PortError::Rejected { what: "the reply log", cause: format!("this process {what}") }
}

#[async_trait]
impl Turns for PostgresTurns {
    async fn claim(
        &self,
        request: &TurnRequest,
        worker: &WorkerId,
        lease: Duration,
    ) -> Result<ClaimOutcome, PortError> {
        claim::claim(self, self.worker()?, request, worker, lease).await
    }

    async fn next_attempt(&self, claim: &Claim, reason: &str) -> Result<Claim, ClaimError> {
        hold::next_attempt(self, self.worker()?, claim, reason).await
    }

    async fn heartbeat(&self, claims: &[Claim], lease: Duration) -> Result<(), PortError> {
        hold::heartbeat(self, self.worker()?, claims, lease).await
    }

    async fn finish(
        &self,
        claim: &Claim,
        end: TurnEnd,
        checkpoint: Option<VersionedCheckpoint>,
    ) -> Result<Task, ClaimError> {
        finish::finish(self, self.worker()?, claim, end, checkpoint).await
    }

    async fn is_too_many(&self, claim: &Claim, looked_at: DateTime<Utc>) -> Result<bool, PortError> {
        alone::is_too_many(self, claim, looked_at).await
    }

    async fn release(&self, claim: &Claim) -> Result<(), PortError> {
        hold::release(self, self.worker()?, claim).await
    }

    async fn request_cancel(&self, user: &UserId, task: TaskId) -> Result<CancelOutcome, PortError> {
        cancel::request_cancel(self, user, task).await
    }

    async fn interrupt(
        &self,
        user: &UserId,
        session: SessionId,
        by: TaskId,
        before: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, PortError> {
        cancel::interrupt(self, user, session, by, before).await
    }

    async fn delete_session(&self, user: &UserId, session: SessionId) -> Result<(), PortError> {
        cancel::delete_session(self, user, session).await
    }

    async fn checkpoint(&self, user: &UserId, session: SessionId) -> Result<VersionedCheckpoint, PortError> {
        checkpoint::load(self, user, session).await
    }

    async fn save_checkpoint(
        &self,
        user: &UserId,
        session: SessionId,
        checkpoint: VersionedCheckpoint,
    ) -> Result<(), ClaimError> {
        checkpoint::save(self, user, session, &checkpoint).await
    }

    async fn task(&self, user: &UserId, task: TaskId) -> Result<Option<TurnView>, PortError> {
        view::task(self, user, task).await
    }

    async fn spent(&self, user: &UserId, since: DateTime<Utc>) -> Result<Spent, PortError> {
        spent::spent(self, user, since).await
    }

    async fn active(&self) -> Result<u64, PortError> {
        Ok(self.worker.as_ref().map_or(0, |worker| worker.held.count()))
    }
}

#[async_trait]
impl ReplyLog for PostgresTurns {
    async fn writer(&self, claim: &Claim) -> Result<Box<dyn ReplyWriter>, AppendError> {
        let worker = self.worker()?;
        let held = worker.held.find_for(claim).filter(|held| !held.stream.is_over()).ok_or(AppendError::Fenced)?;
        Ok(Box::new(Writer {
            lost: held.lost().clone(),
            stream: held.stream,
            outbox: Arc::clone(&worker.outbox),
            store_after: worker.options.store_every,
            aborting: worker.aborting.clone(),
        }))
    }

    async fn follow(
        &self,
        user: &UserId,
        task: TaskId,
        after: Option<Cursor>,
    ) -> Result<Box<dyn ReplyReader>, FollowError> {
        let reader = self.reader.as_ref().ok_or_else(|| wrong_role("reads no replies"))?;
        reader.follow(user, task, after).await
    }
}
