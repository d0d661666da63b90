//! The one writer: commits in groups.
//!
//! SQLite lets one transaction write at a time, and most of a small transaction's price is its commit. Jobs that wait
//! while a commit is under way go into the next one together, so a lone job waits for nobody and many share the price.
//!
//! Jobs that nobody waits for (the durable record) linger a moment, so that those on a reply's way go first and the others
//! share their commits; see [`Lane`].
//!
//! If one job of a group fails, the group is undone and each job runs again in a transaction of its own: a failure is
//! only ever its own job's.
//!
//! Jobs run on a thread of their own: they need not be `Send`, and a burst of writes holds up no request.

use std::{
    collections::VecDeque,
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use futures_util::{FutureExt as _, future::LocalBoxFuture};
use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::{mpsc, oneshot};
use tracing::error;

use parlance_shared::port::PortError;

use super::error::{port_error, unavailable};

/// Jobs that may wait. Callers beyond it wait up to [`QUEUE_TIMEOUT`].
const QUEUE: usize = 4096;
/// Jobs that may share a commit: bounds how long the first of them waits for the last.
const GROUP: usize = 128;
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a background job waits for company while nothing else is to be written.
const LINGER: Duration = Duration::from_millis(2);
/// After so long it is written whatever else there is.
const LONGEST_LINGER: Duration = Duration::from_millis(20);

/// How soon a job is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Somebody waits for it.
    Prompt,
    /// It may wait up to [`LONGEST_LINGER`].
    Background,
}

#[derive(Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Message>,
}

enum Message {
    Job(Lane, Box<dyn Job>),
    Checkpoint(oneshot::Sender<Result<bool, PortError>>),
    Close(oneshot::Sender<()>),
}

/// A job with a place for its result; `finish` is called once, after its commit or its failure.
trait Job: Send {
    fn run<'a>(&'a mut self, connection: &'a mut SqliteConnection) -> LocalBoxFuture<'a, sqlx::Result<()>>;
    fn finish(self: Box<Self>, failure: Option<PortError>);
}

struct TypedJob<T, F, A> {
    work: F,
    after: A,
    result: Option<T>,
    reply: oneshot::Sender<Result<T, PortError>>,
}

impl<T, F, A> Job for TypedJob<T, F, A>
where
    T: Send + 'static,
    F: AsyncFnMut(&mut SqliteConnection) -> sqlx::Result<T> + Send + 'static,
    A: FnOnce(&T) + Send + 'static,
{
    fn run<'a>(&'a mut self, connection: &'a mut SqliteConnection) -> LocalBoxFuture<'a, sqlx::Result<()>> {
        Box::pin(async move {
            self.result = None;
            self.result = Some((self.work)(connection).await?);
            Ok(())
        })
    }

    fn finish(self: Box<Self>, failure: Option<PortError>) {
        let Self { after, result, reply, .. } = *self;
        let settled = match (failure, result) {
            (None, Some(value)) => {
                after(&value);
                Ok(value)
            }
            (Some(failure), _) => Err(failure),
            (None, None) => Err(unavailable("a job gave no result")),
        };
        // A caller that went away needs no answer; what it asked for is done.
        drop(reply.send(settled));
    }
}

impl Writer {
    /// Takes over the connection on a thread of its own.
    pub(super) fn start(connection: SqliteConnection) -> std::io::Result<Self> {
        let (jobs, inbox) = mpsc::channel(QUEUE);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        std::thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || runtime.block_on(write_loop(connection, inbox)))?;
        Ok(Self { jobs })
    }

    pub(super) async fn write<T, F, A>(&self, lane: Lane, work: F, after: A) -> Result<T, PortError>
    where
        T: Send + 'static,
        F: AsyncFnMut(&mut SqliteConnection) -> sqlx::Result<T> + Send + 'static,
        A: FnOnce(&T) + Send + 'static,
    {
        let (reply, result) = oneshot::channel();
        let job = Box::new(TypedJob { work, after, result: None, reply });
        self.jobs.send_timeout(Message::Job(lane, job), QUEUE_TIMEOUT).await.map_err(|e| unavailable(e.to_string()))?;
        // No timeout: the job is in the queue and will run; to give up here would be to lie about it.
        result.await.map_err(|_| unavailable("the writer has stopped"))?
    }

    /// Empties the write-ahead log, between two groups.
    pub(super) async fn checkpoint(&self) -> Result<bool, PortError> {
        let (reply, result) = oneshot::channel();
        let sent = self.jobs.send_timeout(Message::Checkpoint(reply), QUEUE_TIMEOUT).await;
        sent.map_err(|e| unavailable(e.to_string()))?;
        result.await.map_err(|_| unavailable("the writer has stopped"))?
    }

    pub(super) async fn close(&self) {
        let (closed, done) = oneshot::channel();
        if self.jobs.send(Message::Close(closed)).await.is_ok() {
            drop(done.await);
        }
    }
}

async fn write_loop(mut connection: SqliteConnection, mut inbox: mpsc::Receiver<Message>) {
    let mut waiting = Waiting::default();
    let mut messages = Vec::with_capacity(GROUP);
    while waiting.closing.is_none() {
        let received = match waiting.patience() {
            None => inbox.recv_many(&mut messages, GROUP).await > 0,
            Some(patience) => tokio::time::timeout(patience, inbox.recv_many(&mut messages, GROUP)).await != Ok(0),
        };
        messages.drain(..).for_each(|message| waiting.add(message));
        if !received {
            break;
        }
        while let Some(mut group) = waiting.next_group() {
            commit_group(&mut connection, &mut group).await;
            while waiting.has_room()
                && let Ok(message) = inbox.try_recv()
            {
                waiting.add(message);
            }
        }
        for reply in waiting.checkpoints.drain(..) {
            let _gone_with_its_caller = reply.send(empty_log(&mut connection).await);
        }
    }
    inbox.close();
    let mut last = waiting.all();
    if !last.is_empty() {
        commit_group(&mut connection, &mut last).await;
    }
    if let Err(error) = connection.close().await {
        error!(%error, "the database did not close cleanly");
    }
    if let Some(closed) = waiting.closing {
        let _ = closed.send(());
    }
}

/// Jobs that are not written yet; at most [`QUEUE`], then senders wait.
#[derive(Default)]
struct Waiting {
    prompt: VecDeque<Box<dyn Job>>,
    background: VecDeque<(Instant, Box<dyn Job>)>,
    checkpoints: Vec<oneshot::Sender<Result<bool, PortError>>>,
    closing: Option<oneshot::Sender<()>>,
}

impl Waiting {
    fn add(&mut self, message: Message) {
        match message {
            Message::Job(Lane::Prompt, job) => self.prompt.push_back(job),
            Message::Job(Lane::Background, job) => self.background.push_back((Instant::now(), job)),
            Message::Checkpoint(reply) => self.checkpoints.push(reply),
            Message::Close(closed) => self.closing = Some(closed),
        }
    }

    fn has_room(&self) -> bool {
        self.prompt.len() + self.background.len() < QUEUE
    }

    /// How long to wait for other jobs; without end when nothing lingers.
    fn patience(&self) -> Option<Duration> {
        self.background.front().map(|(since, _)| LINGER.saturating_sub(since.elapsed()))
    }

    /// What to commit now, if anything.
    fn next_group(&mut self) -> Option<Vec<Box<dyn Job>>> {
        let lingered = self.background.front().map(|(since, _)| since.elapsed());
        let due = if self.prompt.is_empty() { LINGER } else { LONGEST_LINGER };
        let mut group: Vec<_> = self.prompt.drain(..self.prompt.len().min(GROUP)).collect();
        if lingered.is_some_and(|lingered| lingered >= due) {
            let room = self.background.len().min(GROUP);
            group.extend(self.background.drain(..room).map(|(_, job)| job));
        }
        (!group.is_empty()).then_some(group)
    }

    fn all(&mut self) -> Vec<Box<dyn Job>> {
        self.prompt.drain(..).chain(self.background.drain(..).map(|(_, job)| job)).collect()
    }
}

async fn commit_group(connection: &mut SqliteConnection, group: &mut Vec<Box<dyn Job>>) {
    match run_in_transaction(connection, group).await {
        Ok(()) => group.drain(..).for_each(|job| job.finish(None)),
        Err(failure) if group.len() == 1 => {
            if let Some(job) = group.pop() {
                job.finish(Some(failure));
            }
        }
        Err(_) => {
            for mut job in group.drain(..) {
                let alone = run_in_transaction(connection, std::slice::from_mut(&mut job)).await;
                job.finish(alone.err());
            }
        }
    }
}

async fn run_in_transaction(connection: &mut SqliteConnection, jobs: &mut [Box<dyn Job>]) -> Result<(), PortError> {
    let outcome = async {
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
        for job in jobs {
            job.run(connection).await?;
        }
        sqlx::query("COMMIT").execute(&mut *connection).await?;
        Ok::<_, sqlx::Error>(())
    };
    let failure = match AssertUnwindSafe(outcome).catch_unwind().await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => port_error(error),
        Err(_) => PortError::Rejected { what: "the database", cause: "a job panicked".into() },
    };
    // SQLite has already rolled back by itself after some errors; then there is nothing left to undo.
    drop(sqlx::query("ROLLBACK").execute(&mut *connection).await);
    Err(failure)
}

/// Readers are waited for no longer than others can wait for their writes.
async fn empty_log(connection: &mut SqliteConnection) -> Result<bool, PortError> {
    let emptied = async {
        sqlx::query("PRAGMA busy_timeout = 250").execute(&mut *connection).await?;
        let busy: i64 = sqlx::query_scalar("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut *connection).await?;
        sqlx::query("PRAGMA busy_timeout = 5000").execute(&mut *connection).await?;
        Ok(busy == 0)
    };
    emptied.await.map_err(port_error)
}
