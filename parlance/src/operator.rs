//! What the operators' commands work on: the bus and the durable record, wherever they are.
//!
//! With Pub/Sub and Postgres that is the services' own. The embedded ones belong to one process at a time: while it runs,
//! the commands ask it through a socket in the data folder ([`socket`]), else they open the folder themselves.

mod embedded;
pub(crate) mod exit;
pub(crate) mod output;
pub(crate) mod progress;
mod socket;
pub(crate) mod when;
pub(crate) mod who;

use std::{future::Future, sync::Arc, time::Duration};

use parlance_postgres::{PostgresStore, PostgresUsers};
use parlance_service::{StartError, cloud};
use parlance_shared::{
    Clock, Lifecycle,
    port::{PortError, bus::BusAdmin, store::StoreAdmin, users::UserAdmin},
    settings::{DatabaseSettings, Settings},
};
use parlance_sqlite::Database;

pub use self::{embedded::open as open_embedded, socket::serve};

/// The longest that one step may take: a seek over a large bus is the longest of them.
const STEP: Duration = Duration::from_secs(120);

/// How long answers to the bus may take at the end.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// The operators' side of a deployment.
pub struct Operator {
    /// The bus.
    pub admin: Arc<dyn BusAdmin>,
    /// The durable record.
    pub store: Arc<dyn StoreAdmin>,
    /// All that is stored of a user.
    pub users: Arc<dyn UserAdmin>,
    /// Stamps what is replayed.
    pub clock: Clock,
    /// A data folder that was opened for this.
    database: Option<Database>,
    /// What the adapters do in the background.
    lifecycle: Lifecycle,
}

impl Operator {
    /// One over any adapters.
    pub fn new(admin: Arc<dyn BusAdmin>, store: Arc<dyn StoreAdmin>, users: Arc<dyn UserAdmin>, clock: Clock) -> Self {
        Self { admin, store, users, clock, database: None, lifecycle: Lifecycle::new() }
    }

    /// Lets go of what it has open. Letters that were looked at are only free for the next command once they were given
    /// back, and those that were dealt with are only gone once that was said.
    pub async fn close(self) {
        self.lifecycle.stop(LAST_ANSWERS, Duration::ZERO).await;
        if let Some(database) = self.database {
            database.close().await;
        }
    }
}

/// What these settings name.
///
/// # Errors
/// One sentence for the person who asked.
pub async fn open(settings: &Settings) -> Result<Operator, String> {
    let DatabaseSettings::Postgres(postgres) = &settings.database else { return open_embedded(settings).await };
    let sentence = |error: StartError| error.to_string();
    let clock = Clock::system();
    let database = cloud::database(postgres, clock.clone()).await.map_err(sentence)?;
    let (store, users) = (Arc::new(PostgresStore::new(database.clone())), Arc::new(PostgresUsers::new(database)));
    match &settings.pubsub {
        None => Ok(Operator { store, users, ..open_embedded(settings).await? }),
        Some(pubsub) => {
            let lifecycle = Lifecycle::new();
            let bus = cloud::connect_bus(pubsub, &lifecycle).await.map_err(sentence)?;
            Ok(Operator { lifecycle, ..Operator::new(Arc::new(bus), store, users, clock) })
        }
    }
}

/// One call of a port, which must not hang for ever.
pub(crate) async fn in_time<T>(call: impl Future<Output = Result<T, PortError>>) -> Result<T, PortError> {
    tokio::time::timeout(STEP, call).await.unwrap_or_else(|_| {
        Err(PortError::Unavailable { what: "the other side", cause: format!("no answer within {} s", STEP.as_secs()) })
    })
}
