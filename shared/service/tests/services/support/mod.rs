//! What the tests share: the programs as processes, an HTTP client, a reader of event streams, a database, the emulator's
//! own API, and proxies that fail on demand.

mod client;
mod database;
mod events;
mod process;
mod proxy;
mod pubsub;
mod world;

pub use self::{
    client::{Accepted, Answer, HttpClient},
    database::TestDatabase,
    events::{Event, reply_of},
    process::{Ended, Process, program},
    proxy::Proxy,
    pubsub::Message,
    world::{Service, World},
};

use std::time::Duration;

/// Longer than anything takes that works, also on a busy machine. A killed worker's message comes after two leases.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again until `probe` gives something.
pub async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            match probe().await {
                Some(found) => return found,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("never happened: {what}"))
}
