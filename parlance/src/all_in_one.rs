//! ingest-api, llm-worker and persist-worker in one process, on the embedded adapters unless the settings name others.

use std::{net::SocketAddr, sync::Arc};

use ingest_api::{About, ApiState, BudgetGuard, FrontDoor, Identity, IdentityPorts, Limits, RecentTurns, WebhookRules};
use llm_worker::LlmWorker;
use parlance_llm::{ReplyCache, with_reply_cache};
pub use parlance_service::StartError;
use parlance_service::{Observability, listen::listen, stop};
use parlance_shared::{
    Lifecycle,
    metrics::Metrics,
    port::llm::ProviderInfo,
    retention::Janitor,
    settings::{Role, Settings},
};
use parlance_sqlite::{Database, DatabaseOptions};
use persist_worker::{PersistWorker, Webhooks};

use crate::adapters::Adapters;

/// A started process.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Who answers.
    pub provider: ProviderInfo,
    lifecycle: Lifecycle,
    folder: Option<Database>,
    observability: Observability,
}

/// Starts everything; returns when messages are taken.
///
/// # Errors
/// See [`StartError`].
pub async fn start(settings: Settings) -> Result<Running, StartError> {
    let folder =
        DatabaseOptions { synchronous: settings.sqlite_synchronous, ..DatabaseOptions::new(&settings.data_dir) };
    start_on(settings, folder).await
}

/// The same with a data folder that is opened in another way, such as with a bound on its size.
///
/// # Errors
/// See [`StartError`].
pub async fn start_on(settings: Settings, folder: DatabaseOptions) -> Result<Running, StartError> {
    let (listener, address) = listen(&settings).await?;
    let lifecycle = Lifecycle::new();
    let metrics = Arc::new(Metrics::new());
    let observability = Observability::start(&settings, Role::AllInOne.name(), &metrics).await?;
    let adapters = Adapters::open(&settings, folder, &metrics, &lifecycle).await?;
    let llm = parlance_llm::choose_all(&settings.llm, adapters.circuits).await?;
    let cache = settings.reply_cache.map(|settings| ReplyCache::start(settings, &metrics, &lifecycle));
    let llm = llm.map(|llm| with_reply_cache(llm, cache.as_ref()));
    let provider = llm.describe();

    let webhooks_are_on = settings.webhooks.are_on(Role::AllInOne);
    let persist = PersistWorker {
        webhooks: Webhooks::new(settings.webhooks, Some(adapters.webhook_mint).filter(|_| webhooks_are_on)),
        bus: adapters.bus.clone(),
        store: adapters.store.clone(),
        clock: adapters.clock.clone(),
        metrics: Arc::clone(&metrics),
        lifecycle: lifecycle.clone(),
    };
    let worker = LlmWorker {
        bus: adapters.bus.clone(),
        turns: adapters.turns.clone(),
        log: adapters.log.clone(),
        llm: Arc::new(llm),
        clock: adapters.clock.clone(),
        settings: settings.turns,
        memory: settings.memory,
        prices: Arc::clone(&settings.prices),
        budgets: settings.budgets,
        metrics: Arc::clone(&metrics),
        lifecycle: lifecycle.clone(),
        worker_id: adapters.worker_id,
    };
    let janitor = Janitor {
        retention: adapters.retention,
        keep_sessions: settings.keep_sessions,
        clock: adapters.clock.clone(),
        metrics: Arc::clone(&metrics),
    };
    lifecycle.spawn(janitor.run(lifecycle.clone()));
    let ports = IdentityPorts { keys: adapters.keys, key_mint: adapters.key_mint, audit: adapters.audit };
    let identity = Identity::new(&settings.auth, ports, &adapters.clock, &lifecycle).map_err(StartError::Unusable)?;
    let door = FrontDoor::new(&settings.front_door, settings.environment, identity.is_configured());
    let api = ApiState {
        bus: adapters.bus,
        store: adapters.store,
        accepting_needs_store: adapters.accepting_needs_store,
        turns: adapters.turns,
        log: adapters.log,
        mint: adapters.mint,
        clock: adapters.clock,
        metrics,
        lifecycle: lifecycle.clone(),
        allowed_models: settings.allowed_models,
        budgets: BudgetGuard::new(settings.budgets),
        about: About { service: "parlance", version: env!("CARGO_PKG_VERSION"), provider: Some(provider.clone()) },
        identity,
        door,
        recent: RecentTurns::default(),
        webhooks: WebhookRules::new(&settings.webhooks, Role::AllInOne),
        limits: Limits::new(&settings.accept),
    };
    lifecycle.spawn(persist.run());
    lifecycle.spawn(worker.run());
    lifecycle.spawn(ingest_api::serve(listener, Arc::new(api)));
    Ok(Running { address, provider, lifecycle, folder: adapters.folder, observability })
}

impl Running {
    /// Stops within 10 s. False when something had to be left as it was; nothing is lost by that.
    pub async fn stop(self) -> bool {
        let ended = stop::stop(&self.lifecycle).await;
        let close_folder = async {
            match self.folder {
                Some(folder) => tokio::time::timeout(stop::CLOSE, folder.close()).await.is_ok(),
                None => true,
            }
        };
        let (closed, ()) = tokio::join!(close_folder, self.observability.close());
        ended && closed
    }
}
