//! Replies that are used again: the same prompt of the same user under the same version of the template is asked once while
//! its reply is kept, and once while it is under way.
//!
//! Off unless it is set: a model that is asked twice may say two things, and whoever asks twice may want both. Whoever
//! wants a reply anew sends a prompt without a [`scope`](parlance_shared::port::llm::PromptScope). Only whole replies are
//! kept, in this process alone, and for no longer than was set, whether anybody asks or not: nobody tells the cache that a
//! session was deleted or a user erased.
//!
//! A reply that is used again uses no tokens, and says so: zero in, out and cached. Of several readers of one request, the
//! first that reaches its end is told what it used, so that it is paid for once.

mod flight;
mod kept;
mod key;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use parlance_shared::{
    Lifecycle,
    metrics::Metrics,
    port::llm::{Llm, LlmError, LlmStream, Prompt, ProviderInfo},
    settings::ReplyCacheSettings,
};
use tokio::{sync::Notify, time::sleep_until};
use tracing::debug;

use self::{
    flight::{Flight, subscribe},
    kept::{Kept, WholeReply},
    key::Key,
};

/// Replies that may be used again, those of all providers of a process.
#[derive(Clone)]
pub struct ReplyCache(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    metrics: Arc<Metrics>,
    /// Something is kept that was not.
    put: Notify,
}

struct State {
    kept: Kept,
    /// Requests under way. A flight lives as long as somebody reads it.
    flights: HashMap<Key, Weak<Flight>>,
}

enum Found {
    Kept(Arc<WholeReply>),
    UnderWay(Arc<Flight>),
}

impl ReplyCache {
    /// An empty one, for as long as the process takes work.
    pub fn start(settings: ReplyCacheSettings, metrics: &Arc<Metrics>, lifecycle: &Lifecycle) -> Self {
        let state = Mutex::new(State { kept: Kept::new(settings), flights: HashMap::new() });
        let shared = Arc::new(Shared { state, metrics: Arc::clone(metrics), put: Notify::new() });
        let (forgetting, stopping) = (Arc::clone(&shared), lifecycle.stopping().clone());
        lifecycle.spawn(async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = forgetting.forget_in_time() => {}
            }
        });
        Self(shared)
    }

    /// The provider, asked only for what is not here.
    pub fn over(&self, llm: Arc<dyn Llm>) -> Arc<dyn Llm> {
        Arc::new(CachingLlm { llm, cache: self.clone() })
    }
}

/// The provider itself without a cache, or behind one.
pub fn with_reply_cache(llm: Arc<dyn Llm>, cache: Option<&ReplyCache>) -> Arc<dyn Llm> {
    match cache {
        Some(cache) => cache.over(llm),
        None => llm,
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is kept, or the request under way, or a new one.
    fn find(self: &Arc<Self>, key: Key, ask: impl FnOnce() -> LlmStream) -> Found {
        let mut state = self.lock();
        let outcomes = &self.metrics.reply_cache_requests;
        if let Some(reply) = state.kept.get(&key) {
            outcomes.inc("hit");
            return Found::Kept(reply);
        }
        if let Some(flight) = state.flights.get(&key).and_then(Weak::upgrade) {
            outcomes.inc("joined");
            return Found::UnderWay(flight);
        }
        outcomes.inc("miss");
        let flight = Arc::new(Flight::new(key, Arc::clone(self), ask()));
        state.flights.insert(key, Arc::downgrade(&flight));
        Found::UnderWay(flight)
    }

    /// Drops what has been kept for its time, when it has.
    async fn forget_in_time(&self) {
        loop {
            let next = self.lock().kept.forget_expired();
            match next {
                // Whatever comes meanwhile is kept for longer.
                Some(at) => sleep_until(at).await,
                None => self.put.notified().await,
            }
        }
    }

    /// A request is over: the next one like it finds its reply, if that is whole, or asks again.
    fn landed(&self, key: &Key, reply: Option<WholeReply>) {
        let mut state = self.lock();
        state.flights.remove(key);
        if let Some(reply) = reply {
            state.kept.put(*key, reply);
            self.put.notify_one();
        }
    }

    /// Nobody reads a request any more.
    fn abandoned(&self, key: &Key) {
        let mut state = self.lock();
        // Another one may have taken its place.
        if state.flights.get(key).is_some_and(|flight| flight.strong_count() == 0) {
            state.flights.remove(key);
        }
    }
}

/// A provider behind a cache.
struct CachingLlm {
    llm: Arc<dyn Llm>,
    cache: ReplyCache,
}

#[async_trait]
impl Llm for CachingLlm {
    fn describe(&self) -> ProviderInfo {
        self.llm.describe()
    }

    async fn stream(&self, prompt: Prompt) -> Result<LlmStream, LlmError> {
        let Some(key) = key::key_of(&self.llm.describe(), &prompt) else { return self.llm.stream(prompt).await };
        let llm = Arc::clone(&self.llm);
        let ask = move || stream::once(async move { llm.stream(prompt).await }).try_flatten().boxed();
        match self.cache.0.find(key, ask) {
            Found::Kept(reply) => {
                debug!("a reply is used again");
                Ok(stream::iter(reply.events().map(Ok).collect::<Vec<_>>()).boxed())
            }
            Found::UnderWay(flight) => {
                // It has begun to answer with its first event.
                let mut events = subscribe(flight);
                match events.next().await {
                    Some(Err(error)) => Err(error),
                    first => Ok(stream::iter(first).chain(events).boxed()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_reply_that_nobody_asks_for_again_is_gone_in_time() {
        let (metrics, lifecycle) = (Arc::new(Metrics::new()), Lifecycle::new());
        let settings = ReplyCacheSettings { keep: Duration::from_secs(60), bytes: 100_000 };
        let cache = ReplyCache::start(settings, &metrics, &lifecycle);
        let reply = || WholeReply { text: "said".to_owned(), calls: Vec::new(), model: None, finish_reason: None };
        let bytes = || cache.0.lock().kept.bytes();
        for round in 0..2 {
            cache.0.landed(&[1; 32], Some(reply()));
            tokio::time::sleep(Duration::from_secs(30)).await;
            cache.0.landed(&[2; 32], Some(reply()));
            let both = bytes();
            tokio::time::sleep(Duration::from_millis(30_001)).await;
            assert_eq!(bytes(), both / 2, "round {round}: the first is gone");
            tokio::time::sleep(Duration::from_secs(30)).await;
            assert_eq!(bytes(), 0, "round {round}");
        }
        assert!(lifecycle.stop(Duration::from_secs(1), Duration::ZERO).await);
    }
}
