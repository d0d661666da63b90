//! The connections of a process: a few, made when needed, used again, thrown away as soon as one of them fails.
//!
//! Not sqlx's own pool, for three of its habits: it asks the server after each use whether the connection still works,
//! without a limit of time, so that a server that vanished without a word keeps the pool's places for ever; after a failover
//! it hands out every dead connection once before it makes new ones; and it would have each call pay a round trip to
//! prevent the latter. Here a call that was dropped half-way, or timed out, closes its connection; a connection that
//! failed takes all others of its time with it; and only one that lay idle for a while is asked before it is used.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::{ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{error::unavailable, login::Login};
use parlance_shared::port::PortError;

/// After so long without use, a connection is asked whether it still works.
const IDLE_UNASKED: Duration = Duration::from_secs(5);
/// How long it may take to say so.
const PING: Duration = Duration::from_secs(1);
/// No connection is used for longer: after a failover by name, or a server that was made smaller or larger, all move over.
const MAX_AGE: Duration = Duration::from_secs(1800);

pub(super) struct Pool {
    options: PgConnectOptions,
    login: Arc<Login>,
    connect_timeout: Duration,
    places: Arc<Semaphore>,
    idle: Mutex<Vec<Idle>>,
    /// Connections made before the latest failure are not used again.
    generation: AtomicU64,
}

struct Idle {
    connection: PgConnection,
    made_at: Instant,
    used_at: Instant,
    generation: u64,
}

/// A connection for one piece of work. Dropping it closes it; [`Lease::give_back`] keeps it for the next.
pub(crate) struct Lease {
    connection: PgConnection,
    made_at: Instant,
    generation: u64,
    is_fresh: bool,
    pool: Arc<Pool>,
    _place: OwnedSemaphorePermit,
}

impl Pool {
    pub(super) fn new(options: PgConnectOptions, login: Arc<Login>, size: u32, connect_timeout: Duration) -> Self {
        Self {
            options,
            login,
            connect_timeout,
            places: Arc::new(Semaphore::new(size.max(1) as usize)),
            idle: Mutex::default(),
            generation: AtomicU64::new(0),
        }
    }

    /// Waits for a place, then for a connection, together no longer than the connect timeout.
    pub(super) async fn acquire(self: &Arc<Self>) -> Result<Lease, PortError> {
        let until = tokio::time::Instant::now() + self.connect_timeout;
        let place = match tokio::time::timeout_at(until, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => place,
            Ok(Err(_)) => return Err(unavailable("it was closed")),
            Err(_) => {
                let seconds = self.connect_timeout.as_secs_f32();
                return Err(unavailable(format!("no connection of the pool became free within {seconds} s")));
            }
        };
        let generation = self.generation.load(Ordering::Acquire);
        while let Some(idle) = self.pop_idle() {
            let Idle { mut connection, made_at, used_at, generation: of } = idle;
            if of != generation || made_at.elapsed() > MAX_AGE {
                continue;
            }
            if used_at.elapsed() > IDLE_UNASKED && !matches!(timeout(PING, connection.ping()).await, Ok(Ok(()))) {
                continue;
            }
            return Ok(Lease {
                connection,
                made_at,
                generation,
                is_fresh: false,
                pool: Arc::clone(self),
                _place: place,
            });
        }
        let connecting = |options: PgConnectOptions| async move { options.connect().await };
        let connection = self.login.connect_until(until, &self.options, connecting).await?;
        let made_at = Instant::now();
        Ok(Lease { connection, made_at, generation, is_fresh: true, pool: Arc::clone(self), _place: place })
    }

    /// Says goodbye to the server. Later calls fail; work under way goes on.
    pub(super) async fn close(&self) {
        self.places.close();
        while let Some(idle) = self.pop_idle() {
            let _ = timeout(PING, idle.connection.close()).await;
        }
    }

    fn pop_idle(&self) -> Option<Idle> {
        // The latest used first, so that those of a rush are left to be closed by the server in quieter times.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

impl Lease {
    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// It was made for this work: when it fails, another would fail as well.
    pub(super) fn is_fresh(&self) -> bool {
        self.is_fresh
    }

    /// Keeps the connection for the next piece of work.
    pub(super) async fn give_back(mut self) {
        // An unfinished transaction is undone by a message that sqlx only prepares: send it, rows may be locked.
        if self.connection.should_flush() && !matches!(timeout(PING, self.connection.ping()).await, Ok(Ok(()))) {
            return;
        }
        if self.pool.places.is_closed() || self.generation != self.pool.generation.load(Ordering::Acquire) {
            return;
        }
        let Self { connection, made_at, generation, pool, .. } = self;
        let idle = Idle { connection, made_at, used_at: Instant::now(), generation };
        pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(idle);
    }

    /// Closes the connection and all that were made before now. True if it is the first of its time to do so.
    pub(super) fn throw_away(self) -> bool {
        // Another one of its time may have done so already: those made since are left alone.
        let next = self.generation + 1;
        let generation = &self.pool.generation;
        let is_first = generation.compare_exchange(self.generation, next, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if is_first {
            self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        is_first
    }
}
