//! Puts llm-worker together on Pub/Sub and Postgres.

use std::sync::Arc;

use llm_worker::LlmWorker;
use parlance_service::{
    Cloud, LogRole, Start, StartError,
    worker::{WorkerParts, run_worker},
};
use parlance_shared::{metrics::Metrics, port::turns::WorkerId, settings::Role};
use tracing::info;
use uuid::Uuid;

pub(crate) async fn start(start: Start) -> Result<(), StartError> {
    let Start { settings, lifecycle, listener } = start;
    let cloud = Cloud::connect(&settings, &lifecycle).await?;
    let turns = cloud.turns(LogRole::Worker, &lifecycle);
    let llm = parlance_llm::choose(&settings.llm).await?;
    let provider = llm.describe();
    info!(llm.provider = provider.provider, llm.model = provider.model, "answers come from here");
    let metrics = Arc::new(Metrics::new());
    let worker = LlmWorker {
        bus: cloud.bus.clone(),
        turns: turns.clone(),
        log: turns,
        llm,
        clock: cloud.clock.clone(),
        settings: settings.turns,
        metrics: Arc::clone(&metrics),
        lifecycle: lifecycle.clone(),
        worker_id: WorkerId(Uuid::new_v4().to_string()),
    };
    let parts = WorkerParts { role: Role::LlmWorker, processors: vec![worker.start()], metrics };
    run_worker(&settings, &cloud, parts, listener, &lifecycle)
}
