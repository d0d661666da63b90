//! One process of a service, which can be killed, stopped for a while, cut off, and started again where it was.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::ExitStatus,
    time::{Duration, Instant},
};

use tokio::{
    sync::{Mutex, MutexGuard},
    time::sleep,
};

use crate::{
    Fallible,
    process::{Process, ServiceOptions},
    proxy::Proxy,
};

/// A debug build on a busy machine, while what it needs may be down.
const READY: Duration = Duration::from_secs(60);
const READY_POLL: Duration = Duration::from_millis(1);

/// A service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Accepts messages and streams replies.
    IngestApi,
    /// Asks the LLM.
    LlmWorker,
    /// Writes the durable record.
    PersistWorker,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::IngestApi, Self::LlmWorker, Self::PersistWorker];

    /// The name of its program.
    pub fn name(self) -> &'static str {
        match self {
            Self::IngestApi => "ingest-api",
            Self::LlmWorker => "llm-worker",
            Self::PersistWorker => "persist-worker",
        }
    }
}

/// A process and what is its own.
pub struct Member {
    /// What it is.
    pub service: Service,
    /// Counts the processes of its service from 0.
    pub number: usize,
    /// Where it listens, after every start.
    pub address: SocketAddr,
    /// What it reaches Postgres through.
    pub postgres: Option<Proxy>,
    /// What it reaches Pub/Sub through.
    pub pubsub: Option<Proxy>,
    options: ServiceOptions,
    process: Mutex<Option<Process>>,
}

impl Member {
    pub(super) fn new(
        service: Service,
        number: usize,
        options: ServiceOptions,
        postgres: Option<Proxy>,
        pubsub: Option<Proxy>,
    ) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
        Self { service, number, address, postgres, pubsub, options, process: Mutex::default() }
    }

    /// `llm-worker 1`
    pub fn name(&self) -> String {
        format!("{} {}", self.service.name(), self.number)
    }

    /// The program.
    pub fn program(&self) -> &PathBuf {
        &self.options.program
    }

    /// Where its log is.
    pub fn log(&self) -> &Path {
        &self.options.log
    }

    /// The process, for as long as nobody else may do anything to it; `None` when somebody does right now.
    pub fn try_hold(&self) -> Option<Held<'_>> {
        self.process.try_lock().ok().map(|process| Held { member: self, process })
    }

    /// The same; waits until nobody else holds it.
    pub async fn hold(&self) -> Held<'_> {
        Held { member: self, process: self.process.lock().await }
    }

    /// Starts it.
    ///
    /// # Errors
    /// When the program can't be run.
    pub async fn start(&self) -> Fallible<()> {
        self.hold().await.start()
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready in time, or ends.
    pub async fn ready(&self) -> Fallible<()> {
        self.hold().await.ready(READY_POLL).await
    }

    /// Its process id.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn pid(&self) -> Fallible<u32> {
        self.hold().await.pid()
    }

    /// Ends it in good order.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn stop(&self) -> Fallible<()> {
        match self.hold().await.process.take() {
            Some(process) => process
                .stop()
                .await
                .map_err(|error| format!("{}: {error} ({})", self.name(), self.log().display()).into()),
            None => Ok(()),
        }
    }
}

/// A process in one hand.
pub struct Held<'a> {
    member: &'a Member,
    process: MutexGuard<'a, Option<Process>>,
}

impl Held<'_> {
    /// Starts it.
    ///
    /// # Errors
    /// When the program can't be run.
    pub fn start(&mut self) -> Fallible<()> {
        for proxy in [&self.member.postgres, &self.member.pubsub].into_iter().flatten() {
            proxy.forget();
        }
        *self.process = Some(Process::start_service(&self.member.options)?);
        Ok(())
    }

    /// Ends it with SIGKILL, when it runs.
    ///
    /// # Errors
    /// When it had ended on its own.
    pub async fn kill(&mut self) -> Fallible<()> {
        match self.process.take() {
            Some(process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// Waits until it is ready, asking so often.
    ///
    /// # Errors
    /// When it does not become ready in time, or ends.
    pub async fn ready(&mut self, poll: Duration) -> Fallible<()> {
        let (name, log) = (self.member.name(), self.member.log().display());
        let since = Instant::now();
        while let Some(process) = self.process.as_mut() {
            if process.is_ready().await {
                return Ok(());
            }
            if let Some(status) = process.ended() {
                return Err(format!("{name} ended with {status} ({log})").into());
            }
            if since.elapsed() > READY {
                break;
            }
            sleep(poll).await;
        }
        Err(format!("{name} does not become ready ({log})").into())
    }

    /// Its process id.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pid(&self) -> Fallible<u32> {
        Ok(self.process.as_ref().ok_or_else(|| format!("{} does not run", self.member.name()))?.pid)
    }

    /// How it ended, when it has, and nobody killed it.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.as_mut()?.ended()
    }
}
