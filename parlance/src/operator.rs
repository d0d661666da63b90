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

use std::{future::Future, io::Write as _, sync::Arc, time::Duration};

use parlance_postgres::{PostgresAudit, PostgresKeys, PostgresStore, PostgresUsers};
use parlance_service::{StartError, cloud};
use parlance_shared::{
    Clock, Lifecycle,
    key_mint::{FreshKey, KeyMint},
    port::{
        PortError,
        audit::{Audit, AuditEntry},
        bus::BusAdmin,
        keys::KeyAdmin,
        store::StoreAdmin,
        users::UserAdmin,
    },
    settings::{DatabaseSettings, IdSecret, Settings},
    webhook::WebhookMint,
};
use parlance_sqlite::Database;
use uuid::Uuid;

use crate::webhooks::secret_of;

use self::{exit::Stop, socket::Remote};

pub use self::embedded::open as open_embedded;
pub(crate) use self::socket::{Embedded, serve};

/// Changes wait for the audit log no longer.
const NOTE: Duration = Duration::from_secs(3);

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
    /// The keys that programs call with.
    pub keys: Arc<dyn KeyAdmin>,
    /// What operators did.
    pub audit: Arc<dyn Audit>,
    /// What makes keys.
    key_maker: KeyMaker,
    /// Stamps what is replayed.
    pub clock: Clock,
    /// A data folder that was opened for this.
    database: Option<Database>,
    /// What the adapters do in the background.
    lifecycle: Lifecycle,
}

impl Operator {
    /// A key that nobody has yet.
    ///
    /// # Errors
    /// When nothing is known that it could be made with.
    pub(crate) async fn fresh_key(&self) -> Result<FreshKey, Stop> {
        match &self.key_maker {
            KeyMaker::Mint(mint, _) => Ok(mint.fresh()),
            KeyMaker::Remote(remote) => Ok(in_time(remote.mint_key()).await?),
            KeyMaker::None => {
                Err(Stop::Failed("ID_SECRET is missing: keys are made and recognised with it".to_owned()))
            }
        }
    }

    /// The secret that signs webhooks of a key, or else of a user.
    ///
    /// # Errors
    /// When nothing is known that it follows from.
    pub(crate) async fn webhook_secret(&self, key: Option<&str>, user: Option<&str>) -> Result<String, Stop> {
        match &self.key_maker {
            KeyMaker::Mint(_, mint) => Ok(secret_of(mint, key, user)),
            KeyMaker::Remote(remote) => Ok(in_time(remote.webhook_secret(key, user)).await?),
            KeyMaker::None => Err(Stop::Failed("ID_SECRET is missing: webhooks are signed by it".to_owned())),
        }
    }

    /// Puts into the audit log what is about to be done. What can't be noted is done all the same, and said.
    pub(crate) async fn note(&self, by: Option<&str>, action: &str, target: Option<String>) {
        let entry = AuditEntry {
            id: format!("cmd_{}", Uuid::now_v7().simple()),
            at: self.clock.now(),
            actor: who::operator(by),
            role: "command".to_owned(),
            key_id: None,
            client: None,
            action: action.to_owned(),
            target,
            status: None,
        };
        let noting = tokio::time::timeout(NOTE, self.audit.note(&entry)).await;
        let cause = match noting {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        // There is nobody left to tell that standard error is closed.
        let _ = writeln!(std::io::stderr(), "parlance: the audit log does not have this: {cause}");
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

/// By whom keys, and the secrets of webhooks, are made.
#[allow(clippy::large_enum_variant, reason = "there is one")]
enum KeyMaker {
    Mint(KeyMint, WebhookMint),
    Remote(Arc<Remote>),
    /// No secret is known.
    None,
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
    let (store, users) =
        (Arc::new(PostgresStore::new(database.clone())), Arc::new(PostgresUsers::new(database.clone())));
    let (keys, audit) = (Arc::new(PostgresKeys::new(database.clone())), Arc::new(PostgresAudit::new(database)));
    let secret = settings.id_secret.as_ref();
    let key_maker = secret
        .map(IdSecret::expose)
        .map_or(KeyMaker::None, |secret| KeyMaker::Mint(KeyMint::new(secret), WebhookMint::new(secret)));
    match &settings.pubsub {
        None => Ok(Operator { store, users, keys, audit, key_maker, ..open_embedded(settings).await? }),
        Some(pubsub) => {
            let lifecycle = Lifecycle::new();
            let bus = cloud::connect_bus(pubsub, &lifecycle).await.map_err(sentence)?;
            let admin = Arc::new(bus);
            Ok(Operator { admin, store, users, keys, audit, key_maker, clock, database: None, lifecycle })
        }
    }
}

/// One call of a port, which must not hang for ever.
pub(crate) async fn in_time<T>(call: impl Future<Output = Result<T, PortError>>) -> Result<T, PortError> {
    tokio::time::timeout(STEP, call).await.unwrap_or_else(|_| {
        Err(PortError::Unavailable { what: "the other side", cause: format!("no answer within {} s", STEP.as_secs()) })
    })
}
