//! An issuer's keys, kept for as long as it says, fetched by one caller at a time.
//!
//! - A key that is known and fresh is found without waiting.
//! - A key that is known but older than it should be starts a fetch; those who come meanwhile, and everyone while the
//!   issuer is away, go on with the old one, for a bounded time.
//! - A key that is not known is waited for. Made-up ids can't cause more than one fetch in a while: a caller who finds
//!   that the keys were just fetched takes them as they are.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use jsonwebtoken::DecodingKey;
use parlance_shared::Lifecycle;
use reqwest::Client;
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::{Instant, timeout},
};
use tracing::{info, warn};

use crate::fetch_keys::{KeySource, Keys, client, fetch};

/// How long keys are kept, and how often they are fetched.
#[derive(Clone, Copy, Debug)]
pub struct KeyPolicy {
    /// Keys are fresh for at least so long, whatever `Cache-Control` says, and for so long if it says nothing.
    pub fresh_at_least: Duration,
    /// And for at most so long.
    pub fresh_at_most: Duration,
    /// While new ones can't be had, old ones are used for so long after they ceased to be fresh.
    pub usable_after: Duration,
    /// No second fetch within this time.
    pub pause: Duration,
    /// One fetch.
    pub timeout: Duration,
}

impl Default for KeyPolicy {
    fn default() -> Self {
        Self {
            fresh_at_least: Duration::from_secs(300),
            fresh_at_most: Duration::from_secs(24 * 3600),
            usable_after: Duration::from_secs(24 * 3600),
            pause: Duration::from_secs(5),
            timeout: Duration::from_secs(5),
        }
    }
}

/// Why there is no key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoKey {
    /// The issuer has none of this id.
    Unknown,
    /// It could not be asked.
    Away(String),
}

/// The keys of one issuer.
pub(super) struct KeyCache {
    source: KeySource,
    client: Client,
    policy: KeyPolicy,
    lifecycle: Lifecycle,
    state: RwLock<State>,
    /// Whoever holds it fetches.
    turn: Arc<Mutex<()>>,
}

#[derive(Default)]
struct State {
    keys: Arc<Keys>,
    fresh_until: Option<Instant>,
    usable_until: Option<Instant>,
    last_fetch: Option<Instant>,
    last_error: Option<String>,
}

enum Found {
    Fresh(Arc<DecodingKey>),
    Old(Arc<DecodingKey>),
    None,
}

impl KeyCache {
    /// An empty cache; nothing is fetched before a key is asked for.
    pub(super) fn new(source: KeySource, policy: KeyPolicy, lifecycle: Lifecycle) -> Result<Self, String> {
        let client = client(&source)?;
        Ok(Self { source, client, policy, lifecycle, state: RwLock::default(), turn: Arc::default() })
    }

    /// The key of this id.
    pub(super) async fn key(self: &Arc<Self>, id: &str) -> Result<Arc<DecodingKey>, NoKey> {
        match self.find(id) {
            Found::Fresh(key) => return Ok(key),
            Found::Old(old) => {
                if self.may_fetch()
                    && let Ok(turn) = Arc::clone(&self.turn).try_lock_owned()
                {
                    self.fetch(turn).await;
                    return self.found(id);
                }
                return Ok(old);
            }
            Found::None => {}
        }
        let turn = Arc::clone(&self.turn).lock_owned().await;
        // Whoever had the turn before may have brought it.
        if matches!(self.find(id), Found::None) && self.may_fetch() {
            self.fetch(turn).await;
        }
        self.found(id)
    }

    /// On the lifecycle, so that a caller who hangs up does not undo it for those who wait.
    async fn fetch(self: &Arc<Self>, turn: OwnedMutexGuard<()>) {
        let cache = Arc::clone(self);
        let fetching = self.lifecycle.spawn(async move {
            let limit = cache.policy.timeout;
            let fetched = timeout(limit, fetch(&cache.client, &cache.source)).await;
            let fetched = fetched.unwrap_or_else(|_| Err(format!("the keys did not come within {limit:?}")));
            let now = Instant::now();
            let mut state = cache.state.write().unwrap_or_else(PoisonError::into_inner);
            state.last_fetch = Some(now);
            match fetched {
                Ok(fetched) => {
                    let policy = &cache.policy;
                    let fresh =
                        fetched.max_age.unwrap_or_default().max(policy.fresh_at_least).min(policy.fresh_at_most);
                    let (keys, fresh_s) = (fetched.keys.len(), fresh.as_secs());
                    info!(source = %cache.source, keys, fresh_s, "fetched the keys of an issuer");
                    state.keys = Arc::new(fetched.keys);
                    state.fresh_until = Some(now + fresh);
                    state.usable_until = Some(now + fresh + policy.usable_after);
                    state.last_error = None;
                }
                Err(error) => {
                    warn!(source = %cache.source, error, "could not fetch the keys of an issuer");
                    state.last_error = Some(error);
                }
            }
            drop(state);
            drop(turn);
        });
        // A fetch that panicked has changed nothing.
        let _ = fetching.await;
    }

    fn may_fetch(&self) -> bool {
        let last = self.state.read().unwrap_or_else(PoisonError::into_inner).last_fetch;
        last.is_none_or(|last| last.elapsed() >= self.policy.pause)
    }

    fn find(&self, id: &str) -> Found {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let before = |limit: Option<Instant>| limit.is_some_and(|limit| now < limit);
        match state.keys.get(id) {
            Some(key) if before(state.fresh_until) => Found::Fresh(Arc::clone(key)),
            Some(key) if before(state.usable_until) => Found::Old(Arc::clone(key)),
            _ => Found::None,
        }
    }

    fn found(&self, id: &str) -> Result<Arc<DecodingKey>, NoKey> {
        match self.find(id) {
            Found::Fresh(key) | Found::Old(key) => Ok(key),
            Found::None => {
                let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
                Err(state.last_error.clone().map_or(NoKey::Unknown, NoKey::Away))
            }
        }
    }
}
