//! A served API on embedded adapters in a folder of its own, and the parts of the process around it that tests play:
//! the worker that answers, the one that persists, and clients.

mod client;
pub mod issuer;
mod worker;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ingest_api::{
    About, ApiState, BudgetGuard, FrontDoor, Identity, IdentityPorts, Limits, RecentTurns, WebhookRules, serve,
};
use parlance_conformance::faulty::{Faults, FaultyBus, FaultyStore};
use parlance_shared::{
    Caller, Clock, Lifecycle, UserId,
    event::MessageSubmitted,
    id_mint::IdMint,
    metrics::Metrics,
    port::{
        bus::{Bus as _, Deliveries, Outcome},
        llm::ProviderInfo,
        store::Store as _,
    },
    settings::AuthSettings,
    topology,
};
use parlance_sqlite::{Database, DatabaseOptions, SqliteAudit, SqliteBus, SqliteKeys, SqliteStore, SqliteTurns};
use tempfile::TempDir;
use tokio::net::TcpListener;

pub use self::{
    client::{Answer, Events, Frame},
    worker::Attempt,
};
pub use parlance_conformance::faulty::Fault;

/// A running API.
pub struct App {
    pub address: SocketAddr,
    pub state: Arc<ApiState>,
    pub bus: FaultyBus,
    pub store: FaultyStore,
    pub turns: SqliteTurns,
    pub mint: IdMint,
    pub user: UserId,
    pub database: Database,
    /// The accept loop; it ends when every connection has.
    pub serving: std::sync::Mutex<Option<tokio::task::JoinHandle<()>>>,
    events: tokio::sync::Mutex<Box<dyn Deliveries>>,
    _folder: TempDir,
}

impl App {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// One that asks callers who they are.
    pub async fn start_as(auth: &AuthSettings) -> Self {
        Self::start_so(auth, |_| {}).await
    }

    pub async fn start_with(adjust: impl FnOnce(&mut ApiState)) -> Self {
        Self::start_so(&AuthSettings::default(), adjust).await
    }

    /// Both.
    pub async fn start_so(auth: &AuthSettings, adjust: impl FnOnce(&mut ApiState)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(DatabaseOptions::new(folder.path())).await.unwrap();
        let lifecycle = Lifecycle::new();
        let bus = FaultyBus::new(Arc::new(SqliteBus::new(database.clone())), Faults::default());
        let store = FaultyStore::new(Arc::new(SqliteStore::new(database.clone())), Faults::default());
        let turns = SqliteTurns::start(database.clone(), &lifecycle);
        bus.ensure(&topology::ALL).await.unwrap();
        let events = tokio::sync::Mutex::new(bus.subscribe(topology::PERSIST_REQUESTS, 1_000).await.unwrap());
        let mint = database.id_mint();
        let ports = IdentityPorts {
            keys: Arc::new(SqliteKeys::new(database.clone())),
            key_mint: database.key_mint(),
            audit: Arc::new(SqliteAudit::new(database.clone())),
        };
        let identity = Identity::new(auth, ports, &Clock::system(), &lifecycle).unwrap();
        let mut state = ApiState {
            bus: Arc::new(bus.clone()),
            store: Arc::new(store.clone()),
            turns: Arc::new(turns.clone()),
            accepting_needs_store: true,
            log: Arc::new(turns.clone()),
            mint: mint.clone(),
            clock: Clock::system(),
            metrics: Arc::new(Metrics::new()),
            lifecycle: lifecycle.clone(),
            allowed_models: Vec::new(),
            budgets: BudgetGuard::default(),
            about: About {
                service: "ingest-api",
                version: "0.0.0",
                provider: Some(ProviderInfo { provider: "offline".into(), model: "outline".into(), base_url: None }),
            },
            identity,
            door: FrontDoor::default(),
            recent: RecentTurns::default(),
            webhooks: WebhookRules::default(),
            limits: Limits::default(),
        };
        adjust(&mut state);
        let state = Arc::new(state);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = std::sync::Mutex::new(Some(lifecycle.spawn(serve(listener, state.clone()))));
        let user = Caller::local().user;
        Self { address, state, bus, store, turns, mint, user, database, serving, events, _folder: folder }
    }

    /// The next event that was published, answered.
    pub async fn event(&self) -> cloudevents::Event {
        let delivery = tokio::time::timeout(Duration::from_secs(5), self.events.lock().await.next()).await;
        let delivery = delivery.expect("nothing was published").unwrap();
        delivery.lease.settle(Outcome::Done).await.unwrap();
        delivery.received.event
    }

    /// Nothing (more) is on the bus. Publishing is over once its call was answered, so a short look is enough.
    pub async fn assert_no_event(&self) {
        let look = tokio::time::timeout(Duration::from_millis(50), self.events.lock().await.next()).await;
        assert!(look.is_err(), "an event was published: {:?}", look.unwrap().unwrap().received.event);
    }

    /// Writes the next published event into the durable record.
    pub async fn persist(&self) {
        let event = self.event().await;
        if let Ok(submitted) = parlance_shared::event::from_cloud_event(&event) {
            self.store.record_message_submitted(&submitted).await.unwrap();
        } else if let Ok(changed) = parlance_shared::event::from_cloud_event(&event) {
            self.store.record_session_changed(&changed).await.unwrap();
        } else {
            let deleted = parlance_shared::event::from_cloud_event(&event).unwrap();
            self.store.record_session_deleted(&deleted).await.unwrap();
        }
    }

    /// Writes an accepted message into the durable record, whatever goes wrong for the API.
    pub async fn record(&self, event: &MessageSubmitted) {
        self.store.inner.record_message_submitted(event).await.unwrap();
    }

    /// Lets the one ended task's text expire; the durable record has it.
    pub async fn expire_one_reply(&self) {
        while self.turns.expire_replies(Duration::ZERO).await.unwrap() == 0 {
            // It ended in this very millisecond.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Streams that are open.
    pub fn live_subscribers(&self) -> i64 {
        self.state.metrics.live_subscribers.get()
    }
}

/// Waits until something holds.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "{what}: did not come about");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
