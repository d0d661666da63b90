//! The adapters for Google Cloud, as the settings name them.

use std::{sync::Arc, time::Duration};

use parlance_postgres::{
    Database, LogOptions, PostgresAudit, PostgresCircuits, PostgresKeys, PostgresStore, PostgresTurns, PostgresUsers,
    Role, SchemaError,
};
use parlance_pubsub::{PubSubBus, PubSubOptions};
use parlance_shared::{
    Clock, Lifecycle,
    circuits::LocalCircuits,
    id_mint::IdMint,
    key_mint::KeyMint,
    port::{bus::Bus as _, circuits::Circuits},
    settings::{DatabaseSettings, PostgresSettings, PubSubSettings, Settings},
    topology,
};
use tracing::warn;

use crate::StartError;

/// A database that does not answer is left for later: it is no reason not to start.
const SCHEMA_PATIENCE: Duration = Duration::from_secs(3);

/// The emulator begins empty: what is missing is made at the start.
const ENSURE_PATIENCE: Duration = Duration::from_secs(20);

/// What OpenTelemetry calls this bus.
pub const MESSAGING_SYSTEM: &str = "gcp_pubsub";

/// The adapters that all services share.
pub struct Cloud {
    /// Wall-clock time.
    pub clock: Clock,
    /// The bus.
    pub bus: Arc<PubSubBus>,
    /// The durable record.
    pub store: Arc<PostgresStore>,
    /// What they stand on.
    pub database: Database,
}

impl Cloud {
    /// Connects to what the settings name.
    ///
    /// # Errors
    /// When a setting is missing, when what it names can't be used, or when the database's schema is too old.
    pub async fn connect(settings: &Settings, lifecycle: &Lifecycle) -> Result<Self, StartError> {
        let DatabaseSettings::Postgres(postgres) = &settings.database else { return Err(missing("DATABASE_URL")) };
        let pubsub = settings.pubsub.as_ref().ok_or_else(|| missing("PUBSUB_PROJECT_ID"))?;
        let clock = Clock::system();
        let (bus, database) = tokio::try_join!(bus(pubsub, lifecycle), database(postgres, clock.clone()))?;
        Ok(Self { bus: Arc::new(bus), store: Arc::new(PostgresStore::new(database.clone())), database, clock })
    }

    /// Claims, checkpoints and the reply log, for a process that claims and writes, or reads, or both.
    pub fn turns(&self, role: Role, lifecycle: &Lifecycle) -> Arc<PostgresTurns> {
        Arc::new(PostgresTurns::start(self.database.clone(), lifecycle, LogOptions::new(role)))
    }

    /// What the workers know of providers, for one that has these turns.
    pub fn circuits(&self, turns: &PostgresTurns, local: LocalCircuits, lifecycle: &Lifecycle) -> Arc<dyn Circuits> {
        Arc::new(PostgresCircuits::start(turns, lifecycle, local))
    }

    /// What grows old.
    pub fn retention(&self) -> Arc<PostgresUsers> {
        Arc::new(PostgresUsers::new(self.database.clone()))
    }

    /// The keys that programs call with.
    pub fn keys(&self) -> Arc<PostgresKeys> {
        Arc::new(PostgresKeys::new(self.database.clone()))
    }

    /// What operators did.
    pub fn audit(&self) -> Arc<PostgresAudit> {
        Arc::new(PostgresAudit::new(self.database.clone()))
    }

    /// Recognises keys by the secret that all instances share.
    ///
    /// # Errors
    /// Without `ID_SECRET`.
    pub fn key_mint(&self, settings: &Settings) -> Result<KeyMint, StartError> {
        let secret = settings.id_secret.as_ref().ok_or_else(|| missing("ID_SECRET"))?;
        Ok(KeyMint::new(secret.expose()))
    }

    /// Makes and recognises ids by the secret that all instances share.
    ///
    /// # Errors
    /// Without `ID_SECRET`.
    pub fn id_mint(&self, settings: &Settings) -> Result<IdMint, StartError> {
        let secret = settings.id_secret.as_ref().ok_or_else(|| missing("ID_SECRET"))?;
        Ok(IdMint::new(secret.expose(), self.clock.clone()))
    }
}

/// Connects to Pub/Sub. On the emulator, missing topics and subscriptions are made.
///
/// # Errors
/// When no client can be made, or the emulator does not answer.
pub async fn bus(settings: &PubSubSettings, lifecycle: &Lifecycle) -> Result<PubSubBus, StartError> {
    let bus = connect_bus(settings, lifecycle).await?;
    if bus.is_emulator() {
        let ensured = tokio::time::timeout(ENSURE_PATIENCE, bus.ensure(&topology::ALL)).await;
        ensured.map_err(|_| StartError::Unusable("the Pub/Sub emulator does not answer".to_owned()))??;
    }
    Ok(bus)
}

/// Connects to Pub/Sub, whatever is there.
///
/// # Errors
/// When no client can be made.
pub async fn connect_bus(settings: &PubSubSettings, lifecycle: &Lifecycle) -> Result<PubSubBus, StartError> {
    install_tls();
    let options = PubSubOptions::new(&settings.project, settings.emulator_host.clone());
    Ok(PubSubBus::connect(options, lifecycle.clone()).await?)
}

/// The database; it is connected to when it is needed.
///
/// # Errors
/// When its schema is older than this program.
pub async fn database(settings: &PostgresSettings, clock: Clock) -> Result<Database, StartError> {
    install_tls();
    let database = Database::new(settings.clone(), clock);
    match tokio::time::timeout(SCHEMA_PATIENCE, database.check_schema()).await {
        Ok(Ok(())) => {}
        Ok(Err(SchemaError::Unavailable(error))) => warn!(%error, "the database does not answer yet"),
        Ok(Err(error)) => return Err(StartError::Unusable(error.to_string())),
        Err(_) => warn!("the database does not answer yet"),
    }
    Ok(database)
}

/// One TLS provider for all clients of the process.
pub fn install_tls() {
    // An error means that it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn missing(name: &'static str) -> StartError {
    StartError::Setting { name, problem: "is missing".to_owned() }
}
