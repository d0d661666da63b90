//! How a worker gets its messages: it pulls them, or it is sent them; and its HTTP side in both cases.

use std::sync::Arc;

use parlance_push::{
    GOOGLE_JWKS_URL, KeyPolicy, Limits, NotReady, OidcSettings, OidcVerifier, Push, ReadyCheck, Verification,
    WorkerHttp,
};
use parlance_shared::{
    Lifecycle,
    consume::{Processor, consume},
    metrics::Metrics,
    port::store::Store as _,
    settings::{Delivery, PushSettings, Role, Settings},
};
use tokio::net::TcpListener;

use crate::{Cloud, StartError};

/// A worker's parts, ready to run.
pub struct WorkerParts {
    /// Which one.
    pub role: Role,
    /// What happens to the messages of each of its subscriptions.
    pub processors: Vec<Arc<Processor>>,
    /// What the process counts.
    pub metrics: Arc<Metrics>,
}

/// Runs a worker on the lifecycle, as `PUBSUB_DELIVERY` says.
///
/// # Errors
/// When pushes can't be verified with these settings.
pub fn run_worker(
    settings: &Settings,
    cloud: &Cloud,
    worker: WorkerParts,
    listener: TcpListener,
    lifecycle: &Lifecycle,
) -> Result<(), StartError> {
    let delivery = settings.pubsub.as_ref().map_or(&Delivery::Pull, |pubsub| &pubsub.delivery);
    let push = match delivery {
        Delivery::Pull => {
            for processor in worker.processors {
                lifecycle.spawn(consume(cloud.bus.clone(), processor, lifecycle.clone()));
            }
            None
        }
        Delivery::Push(push) => Some(Push {
            processors: worker.processors,
            dead_letters: cloud.bus.clone(),
            verification: verification(push, cloud, lifecycle)?,
        }),
    };
    let http = WorkerHttp {
        service: worker.role.name(),
        version: env!("CARGO_PKG_VERSION"),
        ready: ready(cloud),
        clock: cloud.clock.clone(),
        metrics: worker.metrics,
        push,
        limits: Limits::default(),
    };
    lifecycle.spawn(parlance_push::serve(listener, http, lifecycle.clone()));
    Ok(())
}

fn verification(push: &PushSettings, cloud: &Cloud, lifecycle: &Lifecycle) -> Result<Verification, StartError> {
    let PushSettings::Verified { audience, service_account, jwks_url } = push else {
        return Ok(Verification::Unverified);
    };
    let jwks_url = match jwks_url {
        Some(url) => url.clone(),
        None => GOOGLE_JWKS_URL.parse().map_err(|_| StartError::Unusable("no address of Google's keys".to_owned()))?,
    };
    let settings = OidcSettings {
        audience: audience.clone(),
        service_account_email: service_account.clone(),
        jwks_url,
        keys: KeyPolicy::default(),
    };
    let verifier = OidcVerifier::new(settings, cloud.clock.clone(), lifecycle.clone());
    Ok(Verification::Oidc(Arc::new(verifier.map_err(StartError::Unusable)?)))
}

/// A worker can do nothing without the database.
fn ready(cloud: &Cloud) -> ReadyCheck {
    let store = cloud.store.clone();
    Arc::new(move || {
        let store = store.clone();
        Box::pin(async move {
            match store.ready().await {
                Ok(()) => Vec::new(),
                Err(error) => vec![NotReady { code: "store_unavailable", cause: error.to_string() }],
            }
        })
    })
}
