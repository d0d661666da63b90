//! The Postgres server: one of our own where that can be had, so that it can be stopped and its CPU time is ours alone.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tokio::time::{sleep, timeout};
use url::Url;

use super::{
    own::Own,
    parts::{POSTGRES_URL, Parts},
};
use crate::{
    Fallible,
    proc_stat::{family_cpu_seconds, parent},
    process::signal,
};

/// A stop on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const QUERY: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(5);

/// How the server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As an operator stops it: sessions are broken off, what is committed is written out (`pg_ctl stop -m fast`).
    Stop,
    /// As it crashes: nothing is written out, and the next start recovers from the log (`pg_ctl stop -m immediate`).
    Crash,
}

/// The server.
#[derive(Debug)]
pub struct Postgres {
    url: Url,
    /// What starts it, when it is our own.
    own: Option<Own>,
    /// The postmaster.
    pid: Mutex<u32>,
}

impl Postgres {
    /// A server of our own under this name, else the one that others use as well.
    ///
    /// # Errors
    /// When neither answers.
    pub async fn start(parts: &Parts, instance: &str) -> Fallible<Self> {
        let own = parts.own(instance, "postgres", POSTGRES_URL);
        let url = match &own {
            Some(own) => own.up().await?,
            None => parts.postgres_url.clone(),
        };
        let mut url = Url::parse(&url)?;
        // Encryption on loopback would cost what it does not on Cloud SQL's socket.
        url.set_query(Some("sslmode=disable"));
        let postgres = Self { url, own, pid: Mutex::new(0) };
        postgres.learn_pid().await?;
        Ok(postgres)
    }

    /// Whether nobody else uses it, so that it can be stopped.
    pub fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        let host = self.url.host_str().and_then(|host| host.parse().ok()).unwrap_or(Ipv4Addr::LOCALHOST);
        SocketAddr::from((host, self.url.port().unwrap_or(5432)))
    }

    /// A superuser's URL of a database, by way of `address`.
    pub(super) fn url_of(&self, database: &str, address: SocketAddr) -> Fallible<String> {
        let mut url = self.url.clone();
        url.set_ip_host(address.ip()).map_err(|()| "the URL of Postgres takes no host")?;
        url.set_port(Some(address.port())).map_err(|()| "the URL of Postgres takes no port")?;
        url.set_path(database);
        Ok(url.into())
    }

    /// Runs a statement.
    ///
    /// # Errors
    /// When the server is away or refuses it.
    pub async fn run(&self, statement: String) -> Fallible<()> {
        timeout(QUERY, async {
            let mut connection = PgConnection::connect(self.url.as_str()).await?;
            // Names in it are made here, of letters and digits.
            connection.execute(AssertSqlSafe(statement)).await?;
            Ok(connection.close().await?)
        })
        .await?
    }

    /// CPU time of the server and all that it has started, in seconds.
    ///
    /// # Errors
    /// When the server is away, or on another machine.
    pub fn cpu_seconds(&self) -> Fallible<f64> {
        family_cpu_seconds(self.pid())
    }

    /// Bytes of write-ahead log since the server was made.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn wal_bytes(&self) -> Fallible<f64> {
        timeout(QUERY, async {
            let mut connection = PgConnection::connect(self.url.as_str()).await?;
            let bytes = sqlx::query_scalar("SELECT (pg_current_wal_lsn() - '0/0')::float8");
            Ok(bytes.fetch_one(&mut connection).await?)
        })
        .await?
    }

    /// Ends our own server.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn end(&self, ending: Ending) -> Fallible<()> {
        let pid = self.pid();
        signal(pid, if ending == Ending::Stop { "INT" } else { "QUIT" }).await?;
        let since = Instant::now();
        // Its children may outlive it by a moment, and hold its port.
        while parent(pid).is_ok() || TcpListener::bind(self.address()).is_err() {
            if since.elapsed() > PATIENCE {
                return Err("Postgres does not stop".into());
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Starts our own server again, where it was.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_again(&self) -> Fallible<()> {
        let Some(own) = &self.own else { return Err("this Postgres is not ours".into()) };
        let url = Url::parse(&own.up().await?)?;
        if url.port() != self.url.port() {
            return Err("Postgres came back on another port".into());
        }
        self.learn_pid().await
    }

    /// Stops our own server for good, with its data.
    ///
    /// # Errors
    /// When it does not stop.
    pub async fn remove(&self) -> Fallible<()> {
        match &self.own {
            Some(own) => own.down().await,
            None => Ok(()),
        }
    }

    fn pid(&self) -> u32 {
        *self.pid.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Each connection is served by a child of the postmaster.
    async fn learn_pid(&self) -> Fallible<()> {
        let pid: i32 = timeout(QUERY, async {
            let mut connection = PgConnection::connect(self.url.as_str()).await?;
            let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut connection).await?;
            let parent = parent(u32::try_from(pid)?)?;
            Fallible::Ok(i32::try_from(parent)?)
        })
        .await??;
        *self.pid.lock().unwrap_or_else(PoisonError::into_inner) = u32::try_from(pid)?;
        Ok(())
    }
}
