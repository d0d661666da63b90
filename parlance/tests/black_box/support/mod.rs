//! What the tests share: the binary as a process, an HTTP client, a reader of event streams, and a look into the data folder.

mod client;
mod database;
mod events;
mod operator;
mod process;
mod world;

pub use self::{
    client::{Accepted, Answer, HttpClient},
    database::{Folder, Opened},
    events::{Event, Events, reply_of},
    process::{Ended, Process, command, run},
    world::{Server, World},
};

use std::time::Duration;

/// Longer than anything takes that works, also on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again until `probe` gives something.
pub async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            match probe().await {
                Some(found) => return found,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("never happened: {what}"))
}
