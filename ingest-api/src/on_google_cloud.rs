//! Puts ingest-api together on Pub/Sub and Postgres.

use std::sync::Arc;

use ingest_api::{About, ApiState, BudgetGuard, FrontDoor, Identity, IdentityPorts, Limits, RecentTurns, WebhookRules};
use parlance_service::{Cloud, LogRole, Start, StartError, cloud::MESSAGING_SYSTEM};
use parlance_shared::{port::llm::ProviderInfo, settings::Role, trace::TracedBus};

pub(crate) async fn start(start: Start) -> Result<(), StartError> {
    let Start { settings, lifecycle, listener, metrics } = start;
    let cloud = Cloud::connect(&settings, &lifecycle).await?;
    let turns = cloud.turns(LogRole::Reader, &lifecycle);
    let mint = cloud.id_mint(&settings)?;
    let ports = IdentityPorts { keys: cloud.keys(), key_mint: cloud.key_mint(&settings)?, audit: cloud.audit() };
    let identity = Identity::new(&settings.auth, ports, &cloud.clock, &lifecycle).map_err(StartError::Unusable)?;
    let door = FrontDoor::new(&settings.front_door, settings.environment, identity.is_configured());
    // No model is asked here; one that is named to this service as well is listed to clients.
    let provider =
        settings.llm.model.map(|model| ProviderInfo { provider: settings.llm.name.to_owned(), model, base_url: None });
    let api = ApiState {
        bus: Arc::new(TracedBus::new(cloud.bus, MESSAGING_SYSTEM)),
        store: cloud.store,
        accepting_needs_store: false,
        turns: turns.clone(),
        log: turns,
        mint,
        clock: cloud.clock,
        metrics,
        lifecycle: lifecycle.clone(),
        allowed_models: settings.allowed_models,
        budgets: BudgetGuard::new(settings.budgets),
        about: About { service: "ingest-api", version: env!("CARGO_PKG_VERSION"), provider },
        identity,
        door,
        recent: RecentTurns::default(),
        webhooks: WebhookRules::new(&settings.webhooks, Role::IngestApi),
        limits: Limits::new(&settings.accept),
    };
    lifecycle.spawn(ingest_api::serve(listener, Arc::new(api)));
    Ok(())
}
