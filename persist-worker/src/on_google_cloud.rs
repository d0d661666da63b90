//! Puts persist-worker together on Pub/Sub and Postgres.

use std::sync::Arc;

use parlance_service::{
    Cloud, Start, StartError,
    cloud::MESSAGING_SYSTEM,
    worker::{WorkerParts, run_worker},
};
use parlance_shared::{retention::Janitor, settings::Role, trace::TracedBus, webhook::WebhookMint};
use persist_worker::{PersistWorker, Webhooks};

pub(crate) async fn start(start: Start) -> Result<(), StartError> {
    let Start { settings, lifecycle, listener, metrics } = start;
    let cloud = Cloud::connect(&settings, &lifecycle).await?;
    let janitor = Janitor {
        retention: cloud.retention(),
        keep_sessions: settings.keep_sessions,
        clock: cloud.clock.clone(),
        metrics: Arc::clone(&metrics),
    };
    lifecycle.spawn(janitor.run(lifecycle.clone()));
    // Others that have the secret for another reason sign nothing while webhooks are off.
    let secret = settings.id_secret.as_ref().filter(|_| settings.webhooks.are_on(Role::PersistWorker));
    let worker = PersistWorker {
        webhooks: Webhooks::new(settings.webhooks, secret.map(|secret| WebhookMint::new(secret.expose()))),
        bus: Arc::new(TracedBus::new(cloud.bus.clone(), MESSAGING_SYSTEM)),
        store: cloud.store.clone(),
        clock: cloud.clock.clone(),
        metrics: Arc::clone(&metrics),
        lifecycle: lifecycle.clone(),
    };
    let parts = WorkerParts { role: Role::PersistWorker, processors: worker.start().to_vec(), metrics };
    run_worker(&settings, &cloud, parts, listener, &lifecycle)
}
