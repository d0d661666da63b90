//! How far the embedded bus is behind, as gauges: on Pub/Sub, Google's own metrics say so.

use std::{sync::Arc, time::Duration};

use parlance_shared::{Clock, Lifecycle, metrics::Metrics};
use parlance_sqlite::SqliteBus;
use tokio::time::{Instant, interval_at};
use tracing::debug;

/// The state is counted row by row.
const EVERY: Duration = Duration::from_secs(15);

pub(crate) async fn watch_bus(bus: SqliteBus, metrics: Arc<Metrics>, clock: Clock, lifecycle: Lifecycle) {
    let mut looks = interval_at(Instant::now(), EVERY);
    loop {
        tokio::select! {
            biased;
            () = lifecycle.stopping().cancelled() => return,
            _ = looks.tick() => {}
        }
        match bus.stats().await {
            Ok(stats) => {
                for of in stats {
                    let age = of.oldest_published_at.map_or(0, |oldest| (clock.now() - oldest).num_seconds().max(0));
                    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
                    metrics.bus_waiting.set(&of.subscription, number(of.outstanding));
                    metrics.bus_oldest_waiting.set(&of.subscription, age);
                    metrics.bus_dead_letters.set(&of.subscription, number(of.dead_letters));
                }
            }
            Err(error) => debug!(%error, "could not look at the bus"),
        }
    }
}
