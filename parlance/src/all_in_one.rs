//! ingest-api, llm-worker and persist-worker in one process, on the embedded adapters.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use ingest_api::{About, ApiState, Limits};
use llm_worker::LlmWorker;
use parlance_llm::ChooseError;
use parlance_shared::{
    Lifecycle,
    metrics::Metrics,
    port::{PortError, bus::Bus as _, llm::ProviderInfo, turns::WorkerId},
    settings::Settings,
    topology,
};
use parlance_sqlite::{Database, DatabaseOptions, OpenError, SqliteBus, SqliteStore, SqliteTurns};
use persist_worker::PersistWorker;
use tokio::net::TcpListener;

/// Replies that take longer than this after the signal are handed back to the bus. With [`LAST`] and [`CLOSE`] below the
/// 10 s that Cloud Run and most supervisors give.
const GRACE: Duration = Duration::from_secs(6);
/// For handing back, and for streams to say goodbye.
const LAST: Duration = Duration::from_secs(2);
/// For the database's last commit.
const CLOSE: Duration = Duration::from_millis(1500);

/// Why the process can't start: one sentence each.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken, or not ours.
    #[error("can't listen on {address}: {cause}{}", listen_hint(cause))]
    Listen {
        /// `HOST` and `PORT`.
        address: SocketAddr,
        /// What the system says.
        cause: io::Error,
    },
    /// The data folder can't be used.
    #[error(transparent)]
    Data(#[from] OpenError),
    /// No provider can be set up.
    #[error(transparent)]
    Llm(#[from] ChooseError),
    /// An adapter failed at once.
    #[error(transparent)]
    Port(#[from] PortError),
    /// Signals can't be heard.
    #[error("can't listen for signals: {0}")]
    Signals(io::Error),
}

fn listen_hint(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::AddrInUse => "; stop the program that uses it, or set PORT to another one",
        io::ErrorKind::PermissionDenied => "; set PORT to 1024 or above",
        _ => "",
    }
}

/// A started process.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Who answers.
    pub provider: ProviderInfo,
    lifecycle: Lifecycle,
    database: Database,
}

/// Starts everything; returns when messages are taken.
///
/// # Errors
/// See [`StartError`].
pub async fn start(settings: Settings) -> Result<Running, StartError> {
    let database =
        DatabaseOptions { synchronous: settings.sqlite_synchronous, ..DatabaseOptions::new(&settings.data_dir) };
    start_on(settings, database).await
}

/// The same on a database that is opened in another way, such as with a bound on its size.
///
/// # Errors
/// See [`StartError`].
pub async fn start_on(settings: Settings, database: DatabaseOptions) -> Result<Running, StartError> {
    let address = SocketAddr::new(settings.host, settings.port);
    let refused = |cause| StartError::Listen { address, cause };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;

    let clock = database.clock.clone();
    let lifecycle = Lifecycle::new();
    let metrics = Arc::new(Metrics::new());
    let database = Database::open(database).await?;
    let bus = SqliteBus::new(database.clone());
    bus.ensure(&topology::ALL).await?;
    lifecycle.spawn(bus.clone().run_janitor(lifecycle.clone()));
    let bus = Arc::new(bus);
    let store = Arc::new(SqliteStore::new(database.clone()));
    let turns = Arc::new(SqliteTurns::start(database.clone(), &lifecycle));
    let llm = parlance_llm::choose(&settings.llm).await?;
    let provider = llm.describe();

    let persist = PersistWorker {
        bus: bus.clone(),
        store: store.clone(),
        clock: clock.clone(),
        metrics: Arc::clone(&metrics),
        lifecycle: lifecycle.clone(),
    };
    let worker = LlmWorker {
        bus: bus.clone(),
        turns: turns.clone(),
        log: turns.clone(),
        llm,
        clock: clock.clone(),
        settings: settings.turns,
        metrics: Arc::clone(&metrics),
        lifecycle: lifecycle.clone(),
        worker_id: WorkerId(database.epoch().to_owned()),
    };
    let api = ApiState {
        bus,
        store,
        turns: turns.clone(),
        log: turns,
        mint: database.id_mint(),
        clock,
        metrics,
        lifecycle: lifecycle.clone(),
        allowed_models: settings.allowed_models,
        about: About { service: "parlance", version: env!("CARGO_PKG_VERSION"), provider: Some(provider.clone()) },
        limits: Limits::default(),
    };
    lifecycle.spawn(persist.run());
    lifecycle.spawn(worker.run());
    lifecycle.spawn(ingest_api::serve(listener, Arc::new(api)));
    Ok(Running { address, provider, lifecycle, database })
}

impl Running {
    /// Stops within 10 s. False when something had to be left as it was; nothing is lost by that.
    pub async fn stop(self) -> bool {
        let ended = self.lifecycle.stop(GRACE, LAST).await;
        let closed = tokio::time::timeout(CLOSE, self.database.close()).await;
        ended && closed.is_ok()
    }
}
