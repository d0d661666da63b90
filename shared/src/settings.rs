//! Settings come from the environment only. A wrong value stops the start with the variable's name and what is accepted.

mod accounting;
mod auth;
mod database;
mod front_door;
mod google;
mod iam_auth;
mod llm;
mod memory;
mod read;
mod role;
mod telemetry;
mod webhooks;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use tracing_subscriber::filter::Targets;

use self::read::Reader;
pub use self::{
    accounting::ReplyCacheSettings,
    auth::{AuthSettings, OidcIssuer},
    database::{DatabaseSettings, PostgresSettings, SslMode},
    front_door::{Bound, FrontDoorSettings, Rate},
    google::{Delivery, PubSubSettings, PushSettings},
    llm::{LlmSettings, PRIMARY, Support},
    memory::MemorySettings,
    read::{SettingError, SettingErrors},
    role::Role,
    telemetry::{TelemetrySettings, TraceSettings},
    webhooks::WebhookSettings,
};
use crate::{budget::Budgets, prices::PriceTable};

/// Where the process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// On someone's machine: readable logs.
    Development,
    /// Deployed: JSON logs.
    Production,
}

/// Everything a process can be told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `ENVIRONMENT`.
    pub environment: Environment,
    /// `HOST`.
    pub host: IpAddr,
    /// `PORT`; 0 takes any free one.
    pub port: u16,
    /// `DATA_DIR`.
    pub data_dir: PathBuf,
    /// `SQLITE_SYNCHRONOUS`.
    pub sqlite_synchronous: SqliteSynchronous,
    /// `LOG_LEVEL`.
    pub log_levels: Targets,
    /// `DATABASE_URL`, `DB_…`.
    pub database: DatabaseSettings,
    /// `PUBSUB_…`, `PUSH_…`; none for the embedded bus.
    pub pubsub: Option<PubSubSettings>,
    /// `ID_SECRET`: the key that ids are made and recognised with; none for the data folder's own.
    pub id_secret: Option<IdSecret>,
    /// `AUTH_…`: how callers prove who they are.
    pub auth: AuthSettings,
    /// `LLM_…`, `LLM_FALLBACK_…`.
    pub llm: LlmSettings,
    /// `TURN_*`, `WORKER_CONCURRENCY`.
    pub turns: TurnSettings,
    /// `CONTEXT_TOKENS`, `SUMMARY_TRIGGER_TOKENS`, `HEADINGS`.
    pub memory: MemorySettings,
    /// `PRICES_FILE`: what tokens cost.
    pub prices: Arc<PriceTable>,
    /// `USER_DAILY_*`: what a user may use in a day.
    pub budgets: Budgets,
    /// `REPLY_CACHE_*`; none for no cache.
    pub reply_cache: Option<ReplyCacheSettings>,
    /// `MAX_QUEUED_PER_SESSION`, `MAX_DATA_URI_BYTES`.
    pub accept: AcceptSettings,
    /// `RATE_LIMIT_*`, `MAX_*_PER_USER`, `MAX_CONNECTIONS`, `MAX_QUEUE_DELAY`, `TRUSTED_PROXIES`, `CORS_ORIGINS`.
    pub front_door: FrontDoorSettings,
    /// `WEBHOOK…`: whether and where the ends of tasks are told.
    pub webhooks: WebhookSettings,
    /// `RETENTION_DAYS`: how long sessions are kept in which nothing happens; none for ever.
    pub keep_sessions: Option<Duration>,
    /// `METRICS_PORT`, `OTEL_…`: where metrics and traces go.
    pub telemetry: TelemetrySettings,
    /// `LLM_ALLOWED_MODELS`; empty allows any name.
    pub allowed_models: Vec<String>,
}

/// How hard the embedded database makes sure that a commit is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SqliteSynchronous {
    /// Survives a crash of the process; a power failure may take the last commits.
    Normal,
    /// Survives a power failure; each commit waits for the disk.
    Full,
}

/// How a turn is worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnSettings {
    /// `TURN_MAX_ATTEMPTS`: attempts that may end with a provider's error.
    pub max_attempts: u32,
    /// `TURN_RETRY_BUDGET`: no further attempt starts later than this after the first.
    pub retry_budget: Duration,
    /// `WORKER_CONCURRENCY`: turns answered at once by a process.
    pub concurrency: usize,
}

/// What is accepted of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptSettings {
    /// `MAX_QUEUED_PER_SESSION`: messages of a session that may wait or be answered at once.
    pub max_queued_per_session: u32,
    /// `MAX_DATA_URI_BYTES`: the longest `data:` URI of a message.
    pub max_data_uri_bytes: usize,
}

/// A value that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(redacted)")
    }
}

/// The key of [`crate::id_mint::IdMint`].
#[derive(Clone, PartialEq, Eq)]
pub struct IdSecret([u8; 32]);

const ID_SECRET_ACCEPTED: &str = "64 hexadecimal digits that stay the same for ever, as made by: openssl rand -hex 32";

impl IdSecret {
    /// The key itself, for the mint.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for IdSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(redacted)")
    }
}

impl std::str::FromStr for IdSecret {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut key = [0; 32];
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(());
        }
        for (i, byte) in key.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| ())?;
        }
        Ok(Self(key))
    }
}

impl Settings {
    /// Reads the process' environment.
    ///
    /// # Errors
    /// Every wrong value, with what is accepted.
    pub fn from_environment() -> Result<Self, SettingErrors> {
        Self::from_variables(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    /// Reads variables from a function; empty values count as absent.
    ///
    /// # Errors
    /// Every wrong value, with what is accepted.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingErrors> {
        let mut read = Reader::new(&variable);
        let environment = read
            .choice(
                "ENVIRONMENT",
                &[("development", Environment::Development), ("production", Environment::Production)],
            )
            .unwrap_or(Environment::Development);
        let production = environment == Environment::Production;
        let default_host = if production { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
        let port = read.parsed("PORT", "a port number from 0 to 65535; 0 takes any free one").unwrap_or(8080);
        let settings = Self {
            environment,
            host: read.parsed("HOST", "an IP address such as 127.0.0.1").unwrap_or(IpAddr::V4(default_host)),
            port,
            data_dir: read.text("DATA_DIR").map_or_else(|| PathBuf::from("./data"), PathBuf::from),
            sqlite_synchronous: read
                .choice(
                    "SQLITE_SYNCHRONOUS",
                    &[("normal", SqliteSynchronous::Normal), ("full", SqliteSynchronous::Full)],
                )
                .unwrap_or(SqliteSynchronous::Normal),
            log_levels: read
                .parsed(
                    "LOG_LEVEL",
                    "a level (error, warn, info, debug, trace) or targets such as info,llm_worker=debug",
                )
                .unwrap_or_else(|| Targets::new().with_default(tracing::Level::INFO)),
            database: database::read_database(&mut read, production),
            pubsub: google::read_pubsub(&mut read, production),
            id_secret: read.secret("ID_SECRET", ID_SECRET_ACCEPTED),
            auth: auth::read_auth(&mut read),
            llm: llm::read_llm(&mut read),
            turns: TurnSettings {
                max_attempts: read.number("TURN_MAX_ATTEMPTS", 1, 20).unwrap_or(4) as u32,
                retry_budget: read.duration("TURN_RETRY_BUDGET").unwrap_or(Duration::from_secs(120)),
                concurrency: read.number("WORKER_CONCURRENCY", 1, 100_000).unwrap_or(1024) as usize,
            },
            memory: memory::read_memory(&mut read),
            prices: Arc::new(accounting::read_prices(&mut read)),
            budgets: accounting::read_budgets(&mut read),
            reply_cache: accounting::read_reply_cache(&mut read),
            accept: AcceptSettings {
                max_queued_per_session: read.number("MAX_QUEUED_PER_SESSION", 1, 1_000).unwrap_or(20) as u32,
                max_data_uri_bytes: read.number("MAX_DATA_URI_BYTES", 1_024, 4 * 1_024 * 1_024).unwrap_or(1_024 * 1_024)
                    as usize,
            },
            front_door: front_door::read_front_door(&mut read),
            webhooks: webhooks::read_webhooks(&mut read),
            keep_sessions: read.number("RETENTION_DAYS", 1, 36_500).map(|days| Duration::from_secs(days * 24 * 3600)),
            telemetry: telemetry::read_telemetry(&mut read, port),
            allowed_models: read.list("LLM_ALLOWED_MODELS"),
        };
        read.finish(settings)
    }
}
