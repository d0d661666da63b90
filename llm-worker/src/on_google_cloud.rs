//! Puts llm-worker together on Pub/Sub and Postgres.

use std::sync::Arc;

use llm_worker::LlmWorker;
use parlance_llm::{ReplyCache, with_reply_cache};
use parlance_service::{
    Cloud, LogRole, Start, StartError,
    cloud::MESSAGING_SYSTEM,
    worker::{WorkerParts, run_worker},
};
use parlance_shared::{circuits::LocalCircuits, port::turns::WorkerId, settings::Role, trace::TracedBus};
use tracing::info;
use uuid::Uuid;

pub(crate) async fn start(start: Start) -> Result<(), StartError> {
    let Start { settings, lifecycle, listener, metrics } = start;
    let cloud = Cloud::connect(&settings, &lifecycle).await?;
    let turns = cloud.turns(LogRole::Worker, &lifecycle);
    let circuits = LocalCircuits::measured(settings.llm.circuits, &metrics);
    let circuits = cloud.circuits(&turns, circuits, &lifecycle);
    let llm = parlance_llm::choose_all(&settings.llm, circuits).await?;
    let cache = settings.reply_cache.map(|settings| ReplyCache::start(settings, &metrics, &lifecycle));
    let llm = llm.map(|llm| with_reply_cache(llm, cache.as_ref()));
    let provider = llm.describe();
    info!(llm.provider = provider.provider, llm.model = provider.model, "answers come from here");
    let worker = LlmWorker {
        bus: Arc::new(TracedBus::new(cloud.bus.clone(), MESSAGING_SYSTEM)),
        turns: turns.clone(),
        log: turns,
        llm: Arc::new(llm),
        clock: cloud.clock.clone(),
        settings: settings.turns,
        memory: settings.memory,
        prices: Arc::clone(&settings.prices),
        budgets: settings.budgets,
        metrics: Arc::clone(&metrics),
        lifecycle: lifecycle.clone(),
        worker_id: WorkerId(Uuid::new_v4().to_string()),
    };
    let parts = WorkerParts { role: Role::LlmWorker, processors: worker.start().to_vec(), metrics };
    run_worker(&settings, &cloud, parts, listener, &lifecycle)
}
