//! One write of one event: read it, write it with retries, answer.

use std::{future::Future, pin::Pin, time::Duration};

use parlance_shared::{
    event::{DomainEvent, from_cloud_event},
    port::{
        PortError,
        bus::{Outcome, Reason, Received},
        store::Store,
    },
    retry::RetryPolicy,
    trace::{Kind, Span},
};
use tracing::debug;

use crate::PersistWorker;

/// The longest that one try may take. Dropping it is safe: the write is an upsert in one transaction.
const TRY: Duration = Duration::from_secs(5);

/// Rides out a busy or restarting database. A longer outage is left to redelivery.
const PATIENCE: RetryPolicy =
    RetryPolicy { first: Duration::from_millis(50), longest: Duration::from_secs(3), budget: Duration::from_secs(20) };

/// A call of the store under way.
pub(crate) type Writing<'a> = Pin<Box<dyn Future<Output = Result<(), PortError>> + Send + 'a>>;

/// Writes the event with `write` and answers its message.
pub(crate) async fn record<E: DomainEvent>(
    worker: &PersistWorker,
    received: &Received,
    write: impl for<'a> Fn(&'a dyn Store, &'a E) -> Writing<'a> + Send + Sync,
) -> Outcome {
    let event: E = match from_cloud_event(&received.event) {
        Ok(event) => event,
        Err(error) => return Outcome::Fail(Reason::new("unreadable_event", error.to_string())),
    };
    let store = worker.store.as_ref();
    let one_try = || async {
        match tokio::time::timeout(TRY, write(store, &event)).await {
            Ok(written) => written,
            Err(_) => Err(PortError::Unavailable { what: "store", cause: format!("no answer within {TRY:?}") }),
        }
    };
    let worth_a_retry = |error: &PortError| {
        debug!(%error, "could not write");
        error.is_transient()
    };
    let mut span = Span::start(Kind::Internal, || format!("record {}", E::TYPE).into());
    let written = tokio::select! {
        biased;
        written = span.scope(PATIENCE.run(worth_a_retry, one_try)) => written,
        () = worker.lifecycle.aborting().cancelled() => return Outcome::HandBack,
    };
    if let Err(error) = &written {
        span.fail(|| if error.is_transient() { "store_unavailable".into() } else { "store_refused".into() });
    }
    drop(span);
    match written {
        Ok(()) => {
            let lag = worker.clock.now() - received.published_at;
            worker.metrics.persist_lag.observe_millis(lag.num_milliseconds());
            Outcome::Done
        }
        Err(error) if error.is_transient() => {
            Outcome::Retry { after: None, reason: Reason::new("store_unavailable", error.to_string()) }
        }
        Err(error) => Outcome::Fail(Reason::new("store_refused", error.to_string())),
    }
}
