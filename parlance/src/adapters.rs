//! Which adapter stands behind which port: the embedded ones, unless the settings name a Postgres or Pub/Sub.

use std::sync::Arc;

use parlance_postgres::{
    LogOptions, PostgresAudit, PostgresCircuits, PostgresKeys, PostgresStore, PostgresTurns, PostgresUsers,
    Role as LogRole,
};
use parlance_service::{StartError, cloud};
use parlance_shared::{
    Clock, Lifecycle,
    circuits::LocalCircuits,
    id_mint::IdMint,
    key_mint::KeyMint,
    metrics::Metrics,
    port::{
        audit::Audit, bus::Bus, circuits::Circuits, keys::Keys, reply_log::ReplyLog, store::Store, turns::Turns,
        turns::WorkerId, users::Retention,
    },
    settings::{DatabaseSettings, Settings},
    topology,
    trace::TracedBus,
    webhook::WebhookMint,
};
use parlance_sqlite::{
    Database, DatabaseOptions, SqliteAudit, SqliteBus, SqliteKeys, SqliteStore, SqliteTurns, SqliteUsers,
};
use uuid::Uuid;

use crate::{operator, watch_bus::watch_bus};

/// What spans call the embedded bus.
const EMBEDDED: &str = "parlance_embedded";

pub(crate) struct Adapters {
    pub(crate) clock: Clock,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) turns: Arc<dyn Turns>,
    pub(crate) log: Arc<dyn ReplyLog>,
    pub(crate) retention: Arc<dyn Retention>,
    pub(crate) circuits: Arc<dyn Circuits>,
    pub(crate) mint: IdMint,
    pub(crate) keys: Arc<dyn Keys>,
    pub(crate) key_mint: KeyMint,
    pub(crate) audit: Arc<dyn Audit>,
    pub(crate) webhook_mint: WebhookMint,
    pub(crate) worker_id: WorkerId,
    /// The bus and the store are one: neither works without the other.
    pub(crate) accepting_needs_store: bool,
    /// The data folder, if anything is kept there.
    pub(crate) folder: Option<Database>,
}

impl Adapters {
    /// Opens what the settings name; `folder` says how to open the data folder, if it is needed.
    pub(crate) async fn open(
        settings: &Settings,
        folder: DatabaseOptions,
        metrics: &Arc<Metrics>,
        lifecycle: &Lifecycle,
    ) -> Result<Self, StartError> {
        let clock = folder.clock.clone();
        let is_embedded = matches!(settings.database, DatabaseSettings::Sqlite { .. });
        let folder = match is_embedded || settings.pubsub.is_none() {
            true => Some(Database::open(folder).await.map_err(|error| StartError::Unusable(error.to_string()))?),
            false => None,
        };
        let (mint, key_mint) = match (&settings.id_secret, &folder) {
            (Some(secret), _) => (IdMint::new(secret.expose(), clock.clone()), KeyMint::new(secret.expose())),
            (None, Some(folder)) => (folder.id_mint(), folder.key_mint()),
            (None, None) => return Err(missing("ID_SECRET")),
        };
        let webhook_mint = match (&settings.id_secret, &folder) {
            (Some(secret), _) => WebhookMint::new(secret.expose()),
            (None, Some(folder)) => folder.webhook_mint(),
            (None, None) => return Err(missing("ID_SECRET")),
        };
        let (bus, embedded_bus) = bus(settings, folder.as_ref(), lifecycle).await?;
        let worker_id = match &folder {
            Some(folder) if is_embedded => WorkerId(folder.epoch().to_owned()),
            _ => WorkerId(Uuid::new_v4().to_string()),
        };
        let local_circuits = LocalCircuits::measured(settings.llm.circuits, metrics);
        let (keys, audit): (Arc<dyn Keys>, Arc<dyn Audit>);
        let (store, turns, log, circuits, retention, users) = match (&settings.database, &folder) {
            (DatabaseSettings::Postgres(postgres), _) => {
                let database = cloud::database(postgres, clock.clone()).await?;
                let store: Arc<dyn Store> = Arc::new(PostgresStore::new(database.clone()));
                keys = Arc::new(PostgresKeys::new(database.clone()));
                audit = Arc::new(PostgresAudit::new(database.clone()));
                let retention: Arc<dyn Retention> = Arc::new(PostgresUsers::new(database.clone()));
                let turns = Arc::new(PostgresTurns::start(database, lifecycle, LogOptions::new(LogRole::Both)));
                let circuits: Arc<dyn Circuits> = Arc::new(PostgresCircuits::start(&turns, lifecycle, local_circuits));
                (store, turns.clone() as Arc<dyn Turns>, turns as Arc<dyn ReplyLog>, circuits, retention, None)
            }
            (DatabaseSettings::Sqlite { .. }, Some(folder)) => {
                let turns = Arc::new(SqliteTurns::start(folder.clone(), lifecycle));
                let store: Arc<dyn Store> = Arc::new(SqliteStore::new(folder.clone()));
                keys = Arc::new(SqliteKeys::new(folder.clone()));
                audit = Arc::new(SqliteAudit::new(folder.clone()));
                let circuits: Arc<dyn Circuits> = Arc::new(local_circuits);
                let users = turns.users();
                let retention: Arc<dyn Retention> = Arc::new(users.clone());
                (store, turns.clone() as Arc<dyn Turns>, turns as Arc<dyn ReplyLog>, circuits, retention, Some(users))
            }
            (DatabaseSettings::Sqlite { .. }, None) => return Err(missing("DATA_DIR")),
        };
        if let (Some(bus), Some(folder)) = (embedded_bus, &folder) {
            lifecycle.spawn(watch_bus(bus.clone(), Arc::clone(metrics), clock.clone(), lifecycle.clone()));
            let users = users.unwrap_or_else(|| SqliteUsers::new(folder.clone()));
            let embedded = operator::Embedded::new(folder, bus, users, key_mint.clone(), webhook_mint.clone());
            operator::serve(settings.data_dir.clone(), embedded, lifecycle);
        }
        let accepting_needs_store = is_embedded && settings.pubsub.is_none();
        Ok(Self {
            clock,
            bus,
            store,
            turns,
            log,
            circuits,
            retention,
            mint,
            keys,
            key_mint,
            audit,
            webhook_mint,
            worker_id,
            accepting_needs_store,
            folder,
        })
    }
}

async fn bus(
    settings: &Settings,
    folder: Option<&Database>,
    lifecycle: &Lifecycle,
) -> Result<(Arc<dyn Bus>, Option<SqliteBus>), StartError> {
    match (&settings.pubsub, folder) {
        (Some(pubsub), _) => {
            let bus = Arc::new(cloud::bus(pubsub, lifecycle).await?);
            Ok((Arc::new(TracedBus::new(bus, cloud::MESSAGING_SYSTEM)), None))
        }
        (None, Some(folder)) => {
            let bus = SqliteBus::new(folder.clone());
            bus.ensure(&topology::ALL).await?;
            lifecycle.spawn(bus.clone().run_janitor(lifecycle.clone()));
            Ok((Arc::new(TracedBus::new(Arc::new(bus.clone()), EMBEDDED)), Some(bus)))
        }
        (None, None) => Err(missing("DATA_DIR")),
    }
}

fn missing(name: &'static str) -> StartError {
    StartError::Setting { name, problem: "is missing".to_owned() }
}
