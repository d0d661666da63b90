//! Circuits that workers share: each goes by its own memory, and what one of them finds out is a row that the others are
//! told of by a notice. Rows are there while a circuit is not closed. What can't be written now is written when the database
//! is back, if it still matters; nobody waits for it but who wants to make a probe, and not for long.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use parlance_shared::{
    Lifecycle,
    circuits::LocalCircuits,
    port::{
        PortError,
        circuits::{Admission, Circuits},
    },
};
use sqlx::PgConnection;
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use tracing::{debug, warn};

use crate::{Database, PostgresTurns, log::RetryWait};

/// The channel of news: the rows have changed.
pub(crate) const CIRCUITS_CHANNEL: &str = "parlance_circuits";

/// Whose turn a probe is may take so long to find out; then a worker decides alone.
const AGREE: Duration = Duration::from_millis(500);

/// [`Circuits`] of all workers on one database.
pub struct PostgresCircuits {
    local: Arc<LocalCircuits>,
    outbox: Arc<Outbox>,
    database: Database,
}

/// What others are to be told, by provider.
#[derive(Default)]
struct Outbox {
    changes: Mutex<HashMap<String, Change>>,
    wake: Notify,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Opened,
    Closed,
}

impl PostgresCircuits {
    /// Starts with what the database knows; `local` is what this process goes by, and `turns` hears of news, so it must be
    /// a worker's.
    pub fn start(turns: &PostgresTurns, lifecycle: &Lifecycle, local: LocalCircuits) -> Self {
        let (database, news) = turns.circuit_news();
        let circuits = Self { local: Arc::new(local), outbox: Arc::default(), database };
        let keeper = Keeper {
            local: Arc::clone(&circuits.local),
            outbox: Arc::clone(&circuits.outbox),
            database: circuits.database.clone(),
            news,
        };
        let stopping = lifecycle.stopping().clone();
        lifecycle.spawn(async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = keeper.run() => {}
            }
        });
        circuits
    }

    /// Asks whether the probe that is due is ours.
    async fn agree(&self, provider: &str) -> Result<Probe, PortError> {
        let input = (provider, self.local.policy().open_for);
        let asking = self
            .database
            .run(&input, |connection, (provider, open_for)| Box::pin(take_probe(connection, provider, *open_for)));
        let late = || PortError::Unavailable { what: "postgres", cause: "no answer in time".to_owned() };
        timeout(AGREE, asking).await.unwrap_or_else(|_| Err(late()))
    }
}

#[async_trait]
impl Circuits for PostgresCircuits {
    async fn admit(&self, provider: &str) -> Admission {
        let admission = self.local.admit_now(provider);
        // What others don't know of yet, they can't have closed.
        if admission != Admission::Probe || self.outbox.lock().contains_key(provider) {
            return admission;
        }
        match self.agree(provider).await {
            Ok(Probe::Ours) => Admission::Probe,
            Ok(Probe::Theirs(left)) => {
                self.local.learn_open(provider, left);
                Admission::Open(left)
            }
            Ok(Probe::Closed) => {
                self.local.learn_closed(|other| other != provider);
                Admission::Closed
            }
            Err(error) => {
                debug!(%error, "could not agree on a probe: deciding alone");
                Admission::Probe
            }
        }
    }

    fn failed(&self, provider: &str) {
        if self.local.note_failure(provider).is_some() {
            self.outbox.put(provider, Change::Opened);
        }
    }

    fn answered(&self, provider: &str) {
        if self.local.note_answer(provider) {
            self.outbox.put(provider, Change::Closed);
        }
    }
}

impl Outbox {
    fn put(&self, provider: &str, change: Change) {
        self.lock().insert(provider.to_owned(), change);
        self.wake.notify_one();
    }

    fn first(&self) -> Option<(String, Change)> {
        self.lock().iter().next().map(|(provider, change)| (provider.clone(), *change))
    }

    /// It was told, unless there is something newer.
    fn told(&self, provider: &str, change: Change) {
        let mut changes = self.lock();
        if changes.get(provider) == Some(&change) {
            changes.remove(provider);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Change>> {
        // Whole after every statement.
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells and learns, one after the other: what is read is never older than what was told before.
struct Keeper {
    local: Arc<LocalCircuits>,
    outbox: Arc<Outbox>,
    database: Database,
    news: Arc<Notify>,
}

impl Keeper {
    async fn run(self) {
        let mut wait = RetryWait::new();
        // The listener says so as well once it listens; until then this is what is known.
        let mut is_news = true;
        loop {
            let done = match self.outbox.first() {
                Some((provider, change)) => self.tell(&provider, change).await,
                None if is_news => self.learn().await.map(|()| is_news = false),
                None => {
                    tokio::select! {
                        () = self.outbox.wake.notified() => {}
                        () = self.news.notified() => is_news = true,
                    }
                    continue;
                }
            };
            match done {
                Ok(()) => wait.reset(),
                Err(error) if error.is_transient() => {
                    debug!(%error, "what is known of providers is not shared now");
                    sleep(wait.next()).await;
                }
                Err(error) => {
                    warn!(%error, "what is known of providers can't be shared");
                    self.outbox.lock().clear();
                    is_news = false;
                }
            }
        }
    }

    async fn tell(&self, provider: &str, change: Change) -> Result<(), PortError> {
        // Another failure may come while this one is told.
        self.outbox.told(provider, change);
        let told = match change {
            Change::Closed => self.database.run(provider, |connection, name| Box::pin(close(connection, name))).await,
            Change::Opened => match self.local.open_for(provider) {
                Some(left) => {
                    let input = (provider, left);
                    self.database.run(&input, |connection, (name, left)| Box::pin(open(connection, name, *left))).await
                }
                None => Ok(()),
            },
        };
        if told.is_err() {
            self.outbox.lock().entry(provider.to_owned()).or_insert(change);
        }
        told
    }

    async fn learn(&self) -> Result<(), PortError> {
        let known = self.database.run(&(), |connection, ()| Box::pin(read(connection))).await?;
        let untold: Vec<String> = self.outbox.lock().keys().cloned().collect();
        for Open { provider, left } in known.iter().filter(|open| !untold.contains(&open.provider)) {
            self.local.learn_open(provider, Duration::try_from_secs_f64(*left).unwrap_or_default());
        }
        self.local.learn_closed(|name| untold.iter().any(|u| u == name) || known.iter().any(|o| o.provider == name));
        Ok(())
    }
}

/// Whose the probe is that was due here.
enum Probe {
    Ours,
    Theirs(Duration),
    Closed,
}

struct Open {
    provider: String,
    /// Seconds; below zero when a probe is due.
    left: f64,
}

async fn take_probe(connection: &mut PgConnection, provider: &str, open_for: Duration) -> sqlx::Result<Probe> {
    let taken = sqlx::query!(
        "UPDATE provider_circuits SET open_until = clock_timestamp() + $2 * interval '1 second', changed_at = clock_timestamp()
         WHERE provider = $1 AND open_until <= clock_timestamp()",
        provider,
        open_for.as_secs_f64()
    )
    .execute(&mut *connection)
    .await?;
    if taken.rows_affected() > 0 {
        return Ok(Probe::Ours);
    }
    let left = sqlx::query_scalar!(
        r#"SELECT coalesce(extract(epoch FROM open_until - clock_timestamp()), 0)::float8 AS "left!"
           FROM provider_circuits WHERE provider = $1"#,
        provider
    )
    .fetch_optional(connection)
    .await?;
    Ok(left.map_or(Probe::Closed, |left| Probe::Theirs(Duration::try_from_secs_f64(left).unwrap_or_default())))
}

async fn open(connection: &mut PgConnection, provider: &str, left: Duration) -> sqlx::Result<()> {
    sqlx::query!(
        "WITH opened AS (
             INSERT INTO provider_circuits (provider, failures, open_until, changed_at)
             VALUES ($1, 1, clock_timestamp() + $2 * interval '1 second', clock_timestamp())
             ON CONFLICT (provider) DO UPDATE
             SET failures = provider_circuits.failures + 1,
                 open_until = greatest(provider_circuits.open_until, excluded.open_until),
                 changed_at = excluded.changed_at
             RETURNING provider)
         SELECT count(pg_notify($3, '')::text) FROM opened",
        provider,
        left.as_secs_f64(),
        CIRCUITS_CHANNEL
    )
    .fetch_one(connection)
    .await?;
    Ok(())
}

async fn close(connection: &mut PgConnection, provider: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "WITH closed AS (DELETE FROM provider_circuits WHERE provider = $1 RETURNING provider)
         SELECT count(pg_notify($2, '')::text) FROM closed",
        provider,
        CIRCUITS_CHANNEL
    )
    .fetch_one(connection)
    .await?;
    Ok(())
}

async fn read(connection: &mut PgConnection) -> sqlx::Result<Vec<Open>> {
    sqlx::query_as!(
        Open,
        r#"SELECT provider, coalesce(extract(epoch FROM open_until - clock_timestamp()), 0)::float8 AS "left!"
           FROM provider_circuits LIMIT 1000"#
    )
    .fetch_all(connection)
    .await
}
