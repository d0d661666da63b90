//! Replies that are used again: the same prompt of the same user under the same version of the template is asked once while
//! its reply is kept, and once while it is under way.
//!
//! Off unless it is set: a model that is asked twice may say two things, and whoever asks twice may want both. Whoever
//! wants a reply anew sends a prompt without a [`scope`](parlance_shared::port::llm::PromptScope). Only whole replies are
//! kept, in this process alone, and for no longer than was set.
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
    port::llm::{Llm, LlmError, LlmStream, Prompt, ProviderInfo},
    settings::ReplyCacheSettings,
};
use tracing::debug;

use self::{
    flight::{Flight, subscribe},
    kept::{Kept, WholeReply},
    key::Key,
};

/// Replies that may be used again, those of all providers of a process.
#[derive(Clone)]
pub struct ReplyCache(Arc<Shared>);

struct Shared(Mutex<State>);

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
    /// An empty one.
    pub fn new(settings: ReplyCacheSettings) -> Self {
        Self(Arc::new(Shared(Mutex::new(State { kept: Kept::new(settings), flights: HashMap::new() }))))
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is kept, or the request under way, or a new one.
    fn find(self: &Arc<Self>, key: Key, ask: impl FnOnce() -> LlmStream) -> Found {
        let mut state = self.lock();
        if let Some(reply) = state.kept.get(&key) {
            return Found::Kept(reply);
        }
        if let Some(flight) = state.flights.get(&key).and_then(Weak::upgrade) {
            return Found::UnderWay(flight);
        }
        let flight = Arc::new(Flight::new(key, Arc::clone(self), ask()));
        state.flights.insert(key, Arc::downgrade(&flight));
        Found::UnderWay(flight)
    }

    /// A request is over: the next one like it finds its reply, if that is whole, or asks again.
    fn landed(&self, key: &Key, reply: Option<WholeReply>) {
        let mut state = self.lock();
        state.flights.remove(key);
        if let Some(reply) = reply {
            state.kept.put(*key, reply);
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
