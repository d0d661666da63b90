//! What the API needs of the world, spelled out.

use std::{sync::Arc, time::Duration};

use parlance_shared::{
    Clock, Lifecycle,
    id_mint::IdMint,
    metrics::Metrics,
    port::{bus::Bus, llm::ProviderInfo, reply_log::ReplyLog, store::Store, turns::Turns},
    settings::AcceptSettings,
};

use crate::{
    budget::BudgetGuard, front_door::FrontDoor, identity::Identity, recent_turns::RecentTurns, webhook::WebhookRules,
};

/// Room for everything but images: the longest text may come with all its characters escaped.
const TEXT_BODY_BYTES: usize = 2 * 1024 * 1024;

/// Everything that handlers may touch.
pub struct ApiState {
    /// Where accepted messages and changes of sessions go.
    pub bus: Arc<dyn Bus>,
    /// The durable record.
    pub store: Arc<dyn Store>,
    /// Who works on what, and cancelling it.
    pub turns: Arc<dyn Turns>,
    /// The bus is the store's: what can't be stored can't be accepted either, and the process is not ready then.
    pub accepting_needs_store: bool,
    /// Replies as they come.
    pub log: Arc<dyn ReplyLog>,
    /// Makes ids and tells whose they are.
    pub mint: IdMint,
    /// The time.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Start and stop of the process.
    pub lifecycle: Lifecycle,
    /// Models that a request may name; empty allows any.
    pub allowed_models: Vec<String>,
    /// How callers prove who they are.
    pub identity: Identity,
    /// Who is let in, and how often.
    pub door: FrontDoor,
    /// What was accepted a moment ago.
    pub recent: RecentTurns,
    /// What users may use in a day.
    pub budgets: BudgetGuard,
    /// What `/health` and `/` say of this process.
    pub about: About,
    /// Who may be told of the ends of tasks.
    pub webhooks: WebhookRules,
    /// Bounds on time and space.
    pub limits: Limits,
}

/// What this process is.
#[derive(Clone, Debug)]
pub struct About {
    /// The service's name.
    pub service: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The provider in force; null where no LLM runs in the process and none is known.
    pub provider: Option<ProviderInfo>,
}

/// Bounds on time and space of one call or connection.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A request's line and headers must be complete within this time; also how long an idle connection is kept.
    pub header_timeout: Duration,
    /// A request's body must be complete within this time.
    pub body_timeout: Duration,
    /// The largest body that is read, in bytes.
    pub body_bytes: usize,
    /// The longest `data:` URI of a message, in bytes.
    pub data_uri_bytes: usize,
    /// Messages of a session that may wait or be answered at once.
    pub queued_per_session: u32,
    /// Publishing an event may take this long.
    pub publish_timeout: Duration,
    /// A read that the answer needs may take this long.
    pub read_timeout: Duration,
    /// A look that the answer does not depend on may take this long.
    pub glance_timeout: Duration,
    /// How long a call waits for the record to have a message that was accepted a moment ago.
    pub record_patience: Duration,
    /// Applying an accepted change at once, so that its sender reads it back, may take this long.
    pub apply_timeout: Duration,
    /// How long a cancel waits for the task's end before it answers.
    pub cancel_patience: Duration,
    /// How long a call that wants a whole reply waits for it.
    pub completion_patience: Duration,
    /// A stream that has nothing to say sends a comment this often.
    pub keep_alive: Duration,
    /// A client that takes nothing of what it is sent for this long is dropped.
    pub write_stall: Duration,
    /// Connections open at once; more wait to be accepted.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(10),
            body_bytes: TEXT_BODY_BYTES + 1024 * 1024,
            data_uri_bytes: 1024 * 1024,
            queued_per_session: 20,
            publish_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(5),
            glance_timeout: Duration::from_millis(250),
            record_patience: Duration::from_secs(2),
            apply_timeout: Duration::from_secs(2),
            cancel_patience: Duration::from_secs(1),
            completion_patience: Duration::from_secs(600),
            keep_alive: Duration::from_secs(15),
            write_stall: Duration::from_secs(60),
            connections: 20_000,
        }
    }
}

impl Limits {
    /// The usual bounds, but for what the settings say.
    pub fn new(settings: &AcceptSettings) -> Self {
        Self {
            body_bytes: TEXT_BODY_BYTES + settings.max_data_uri_bytes,
            data_uri_bytes: settings.max_data_uri_bytes,
            queued_per_session: settings.max_queued_per_session,
            ..Self::default()
        }
    }
}
