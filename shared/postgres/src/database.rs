//! One Postgres database, shared by any number of processes.

mod access_tokens;
mod connect_error;
mod dedicated;
mod error;
mod first_contact;
mod login;
pub mod migrations;
mod options;
mod pool;

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use parlance_shared::{Clock, port::PortError, settings::PostgresSettings};
use sqlx::PgConnection;
use tracing::{debug, warn};

pub(crate) use self::error::{port_error, refused, unavailable};
pub use self::migrations::SchemaError;
use self::{login::Login, pool::Pool};

/// Beyond the statement timeout, by which the server itself gives up: then the server is not answering at all.
const SILENCE: Duration = Duration::from_secs(1);
/// How often work is tried whose connection was lost, or that another transaction undid.
const TRIES: u32 = 4;

/// A piece of work under way.
pub(crate) type Working<'a, T> = Pin<Box<dyn Future<Output = sqlx::Result<T>> + Send + 'a>>;

/// How to reach the database. Clones share their connections, which are made when they are first needed.
#[derive(Clone)]
pub struct Database {
    settings: Arc<PostgresSettings>,
    login: Arc<Login>,
    pool: Arc<Pool>,
    clock: Clock,
    greeted: Arc<AtomicBool>,
    schema_checked: Arc<AtomicBool>,
}

impl Database {
    /// A database that need not be up yet: each call connects if it has to.
    pub fn new(settings: PostgresSettings, clock: Clock) -> Self {
        let login = Arc::new(Login::new(&settings));
        let options = options::pooled(&settings);
        let pool = Pool::new(options, Arc::clone(&login), settings.pool_size, settings.connect_timeout);
        Self {
            settings: Arc::new(settings),
            login,
            pool: Arc::new(pool),
            clock,
            greeted: Arc::default(),
            schema_checked: Arc::default(),
        }
    }

    /// The clock that stamps rows.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Says goodbye to the server; later calls fail.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Runs `work` on a connection of the pool, within the statement timeout as a whole.
    ///
    /// The work may run more than once: on a new connection when its first one turns out to be dead, and when a deadlock
    /// or a serialization failure undid it. So each piece of work must be right when done twice, as all writes here are:
    /// an answer can get lost after its commit in any case.
    ///
    /// `input` is what the work needs; it comes as an argument, as a closure that borrowed it could not be known to be
    /// `Send`: `database.run(&(user, id), |connection, (user, id)| Box::pin(find(connection, user, *id)))`.
    pub(crate) async fn run<I: Sync + ?Sized, T>(
        &self,
        input: &I,
        work: impl for<'a> Fn(&'a mut PgConnection, &'a I) -> Working<'a, T> + Send,
    ) -> Result<T, PortError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let mut lease = self.pool.acquire().await?;
            if lease.is_fresh() {
                self.greet(lease.connection()).await;
            }
            let bound = self.settings.statement_timeout + SILENCE;
            let Ok(done) = tokio::time::timeout(bound, work(lease.connection(), input)).await else {
                let cause = format!("no answer within {} s", bound.as_secs_f32());
                if lease.throw_away() {
                    warn!(cause, "the connections to the database are given up");
                }
                return Err(unavailable(cause));
            };
            let error = match done {
                Ok(value) => {
                    lease.give_back().await;
                    return Ok(value);
                }
                Err(error) => error,
            };
            if error::spoils_connections(&error) {
                let is_fresh = lease.is_fresh();
                if lease.throw_away() {
                    warn!(%error, "the connections to the database are given up");
                }
                if is_fresh || tries >= TRIES {
                    return Err(port_error(error));
                }
                continue;
            }
            lease.give_back().await;
            if !error::undone_by_another(&error) || tries >= TRIES {
                return Err(port_error(error));
            }
            debug!(%error, "undone by another transaction; trying again");
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("settings", &self.settings).finish_non_exhaustive()
    }
}
