//! Keeps what is read in this process up to date: fetches each segment once and splits it over all readers, loads turns
//! that somebody begins to read or whose text has a gap. One task, one connection, so that a load and the segments after
//! it can't overtake each other. While nobody reads a reply that runs, it asks the database nothing.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parlance_shared::{Lifecycle, TaskId, id::PrefixedId as _, port::PortError};
use sqlx::PgConnection;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::{
    inbox::Inbox,
    live::{Applied, LiveTask},
    options::RetryWait,
    registry::Registry,
    ring::Ring,
    segment::Segment,
    stats::Counters,
    tail_queries::{self, AT_ONCE, Fetched, SESSION, Wanted},
};
use crate::{
    Database,
    database::{port_error, unavailable},
};

/// A query that takes longer has lost its connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// Turns per load.
const LOADS_AT_ONCE: usize = 32;
/// Who is so many flushes behind a writer goes on from what is stored.
const FAR_BEHIND: i64 = 512;
/// Without a reader for so long, segments are no longer fetched.
const LINGER: Duration = Duration::from_secs(5);
/// A gap that the latest load did not close is looked at again after this, and then less and less often.
const FIRST_LOOK: Duration = Duration::from_millis(250);
const LAST_LOOK: Duration = Duration::from_secs(2);
/// Writers that are known at the most; of those without news for longest nothing is remembered.
const WRITERS: usize = 1_000;

/// A task that a piece was missing for.
#[derive(Clone, Copy, Debug)]
struct Behind {
    look_at: Instant,
    wait: Duration,
}

/// The reader's task.
pub(crate) struct Tail {
    database: Database,
    registry: Arc<Registry>,
    inbox: Arc<Inbox>,
    counters: Arc<Counters>,
    connection: Option<PgConnection>,
    ring: Ring,
    /// The latest flush fetched of each writer.
    fetched: HashMap<Uuid, (i64, Instant)>,
    behind: HashMap<TaskId, Behind>,
    read_at: Instant,
}

impl Tail {
    pub(crate) fn new(database: Database, registry: Arc<Registry>, inbox: Arc<Inbox>, counters: Arc<Counters>) -> Self {
        Self {
            database,
            registry,
            inbox,
            counters,
            connection: None,
            ring: Ring::default(),
            fetched: HashMap::new(),
            behind: HashMap::new(),
            read_at: Instant::now(),
        }
    }

    /// Runs until the process stops and nobody reads.
    pub(crate) async fn run(mut self, lifecycle: Lifecycle) {
        let registry = Arc::clone(&self.registry);
        let all_read = async {
            lifecycle.stopping().cancelled().await;
            registry.none().await;
        };
        tokio::select! {
            () = lifecycle.aborting().cancelled() => {}
            () = all_read => {}
            () = self.follow_for_ever() => {}
        }
    }

    async fn follow_for_ever(&mut self) {
        let mut wait = RetryWait::new();
        let mut is_away = false;
        loop {
            self.until_needed().await;
            match self.catch_up().await {
                Ok(()) => {
                    if std::mem::take(&mut is_away) {
                        info!("the log can be read again");
                    }
                    wait.reset();
                }
                Err(error) => {
                    self.connection = None;
                    self.tell_trouble(&error);
                    if !std::mem::replace(&mut is_away, true) {
                        warn!(%error, "the log can't be read: readers wait");
                    }
                    sleep(wait.next()).await;
                }
            }
        }
    }

    async fn until_needed(&self) {
        loop {
            let wake = self.inbox.changed();
            if !self.inbox.todo().is_empty() {
                return;
            }
            match self.behind.values().map(|behind| behind.look_at).min() {
                Some(at) if at <= Instant::now() => return,
                Some(at) => {
                    tokio::select! {
                        () = wake => {}
                        () = sleep_until(at) => {}
                    }
                }
                None => wake.await,
            }
        }
    }

    async fn catch_up(&mut self) -> Result<(), PortError> {
        self.rest_if_unread();
        if std::mem::take(&mut self.inbox.todo().resync) {
            let running = self.registry.running();
            self.inbox.todo().loads.extend(running);
            if self.inbox.follows() {
                self.begin().await.inspect_err(|_| self.inbox.todo().resync = true)?;
            }
        }
        self.fetch().await?;
        self.load().await
    }

    /// Once nobody has read for a while, notifications are let pass.
    fn rest_if_unread(&mut self) {
        if self.registry.readers() > 0 {
            self.read_at = Instant::now();
        } else if self.inbox.follows() && self.read_at.elapsed() > LINGER {
            self.inbox.set_follows(false);
            self.ring.clear();
            self.fetched.clear();
            self.behind.clear();
        }
    }

    /// Takes the latest segments, from where notifications then go on.
    async fn begin(&mut self) -> Result<(), PortError> {
        // From here on notifications are noted, so that none falls between.
        self.inbox.set_follows(true);
        self.ring.clear();
        self.fetched.clear();
        let latest = bounded(tail_queries::latest(self.connection().await?)).await?;
        self.take_in(latest);
        Ok(())
    }

    async fn fetch(&mut self) -> Result<(), PortError> {
        while let Some((wanted, slots)) = self.wanted() {
            let fetched = bounded(tail_queries::fetch(self.connection().await?, &wanted, slots)).await?;
            self.counters.fetches.add(1);
            self.take_in(fetched);
            self.fetched_upto(&wanted);
        }
        Ok(())
    }

    /// The next segments to fetch: of writers whose news lie in the same slots.
    fn wanted(&mut self) -> Option<(Vec<Wanted>, (i16, i16))> {
        let mut todo = self.inbox.todo();
        let after = |writer: &Uuid, first: i64| self.fetched.get(writer).map_or(first - 1, |(flush_no, _)| *flush_no);
        // The segments to begin with may hold what was notified meanwhile.
        todo.flushed.retain(|writer, news| news.upto > after(writer, news.first));
        let slots = todo.flushed.values().next()?.slots;
        let (mut wanted, mut is_lost) = (Vec::new(), false);
        for (writer, news) in todo.flushed.iter().filter(|(_, news)| news.slots == slots) {
            let after = after(writer, news.first);
            is_lost |= news.is_long || news.upto - after > FAR_BEHIND;
            wanted.push(Wanted { writer: *writer, after, upto: news.upto.min(after + AT_ONCE) });
        }
        if is_lost {
            // Slower to go on from what is stored, but not by much.
            todo.flushed.clear();
            drop(todo);
            self.inbox.resync();
            return None;
        }
        Some((wanted, slots))
    }

    fn fetched_upto(&mut self, wanted: &[Wanted]) {
        let now = Instant::now();
        let mut todo = self.inbox.todo();
        for Wanted { writer, upto, .. } in wanted {
            self.fetched.insert(*writer, (*upto, now));
            if todo.flushed.get(writer).is_some_and(|news| news.upto <= *upto) {
                todo.flushed.remove(writer);
            }
        }
        drop(todo);
        if self.fetched.len() > WRITERS {
            let oldest = self.fetched.iter().min_by_key(|(_, (_, at))| *at).map(|(writer, _)| *writer);
            oldest.and_then(|writer| self.fetched.remove(&writer));
        }
    }

    fn take_in(&mut self, fetched: Vec<Fetched>) {
        let now = Instant::now();
        self.counters.segments_read.add(fetched.len());
        for Fetched { writer, flush_no, payload } in fetched {
            let latest = self.fetched.entry(writer).or_insert((flush_no, now));
            *latest = (latest.0.max(flush_no), now);
            match Segment::decode(payload) {
                Ok(segment) => {
                    self.deliver(&segment);
                    self.ring.push(Arc::new(segment), now);
                }
                // Of another version: its readers go on from what is stored.
                Err(error) => debug!(%error, %writer, "a segment was left out"),
            }
        }
    }

    fn deliver(&mut self, segment: &Segment) {
        let pieces: Vec<_> = segment.pieces().collect();
        let behind = &mut self.behind;
        let counters = &self.counters;
        self.registry.each(pieces.iter().map(|piece| piece.task), |at, live| {
            // What an unread turn lacks its load brings.
            if live.apply(&pieces[at]) == Applied::Behind && live.is_known() {
                behind.entry(live.id).or_insert_with(|| {
                    counters.gaps.add(1);
                    Behind { look_at: Instant::now(), wait: FIRST_LOOK }
                });
            }
        });
    }

    async fn load(&mut self) -> Result<(), PortError> {
        loop {
            let tasks = self.to_load();
            if tasks.is_empty() {
                return Ok(());
            }
            let loading = self.load_these(&tasks).await;
            let mut stored = loading.inspect_err(|_| self.inbox.todo().loads.extend(&tasks))?;
            self.counters.loads.add(1);
            let mut is_running = false;
            for task in tasks {
                let Some(live) = self.registry.find(task) else {
                    self.behind.remove(&task);
                    continue;
                };
                match stored.remove(&task).transpose() {
                    Ok(stored) => live.merge(stored, true),
                    Err(error) => {
                        warn!(%error, %task, "a turn can't be read");
                        live.set_trouble(error.to_string());
                        self.behind.remove(&task);
                        continue;
                    }
                }
                self.apply_ring(&live);
                is_running |= !live.has_ended();
            }
            if is_running && !self.inbox.follows() {
                self.begin().await.inspect_err(|_| self.inbox.todo().resync = true)?;
            }
        }
    }

    /// What readers began to read, and those behind whose time has come.
    fn to_load(&self) -> Vec<TaskId> {
        let now = Instant::now();
        let mut todo = self.inbox.todo();
        let due = self.behind.iter().filter(|(_, behind)| behind.look_at <= now).map(|(task, _)| *task);
        let mut tasks: Vec<TaskId> = todo.loads.iter().copied().chain(due).take(2 * LOADS_AT_ONCE).collect();
        tasks.sort_unstable();
        tasks.dedup();
        tasks.truncate(LOADS_AT_ONCE);
        tasks.iter().for_each(|task| _ = todo.loads.remove(task));
        tasks
    }

    /// Adds what the latest segments have beyond the stored text.
    fn apply_ring(&mut self, live: &LiveTask) {
        let pieces = self.ring.iter().flat_map(|segment| segment.pieces_of(live.id.uuid()));
        // A gap that a later piece shows is closed by an earlier one that comes after the load: so the last word counts.
        let mut is_behind = false;
        for piece in pieces {
            is_behind = live.apply(&piece) == Applied::Behind;
        }
        if is_behind {
            let last = self.behind.get(&live.id).map_or(FIRST_LOOK, |behind| behind.wait);
            let wait = (last * 3 / 2).min(LAST_LOOK);
            self.behind.insert(live.id, Behind { look_at: Instant::now() + last, wait });
        } else {
            self.behind.remove(&live.id);
        }
    }

    fn tell_trouble(&self, error: &PortError) {
        let waiting: Vec<TaskId> = self.inbox.todo().loads.iter().copied().collect();
        for live in waiting.into_iter().filter_map(|task| self.registry.find(task)) {
            live.set_trouble(error.to_string());
        }
    }

    async fn load_these(&mut self, tasks: &[TaskId]) -> Result<tail_queries::Loaded, PortError> {
        bounded(tail_queries::load(self.connection().await?, tasks)).await
    }

    async fn connection(&mut self) -> Result<&mut PgConnection, PortError> {
        match &mut self.connection {
            Some(connection) => Ok(connection),
            closed => Ok(closed.insert(self.database.dedicated(&SESSION).await?)),
        }
    }
}

async fn bounded<T>(query: impl Future<Output = sqlx::Result<T>>) -> Result<T, PortError> {
    match tokio::time::timeout(PATIENCE, query).await {
        Ok(answer) => answer.map_err(port_error),
        Err(_) => Err(unavailable(format!("no answer within {} s", PATIENCE.as_secs()))),
    }
}
