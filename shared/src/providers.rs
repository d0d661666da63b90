//! The providers of a deployment, in the order in which they are asked: the primary one and its fallbacks.
//!
//! A turn goes through them by a [`Route`], each try an attempt of its own. Whoever wants no more than an answer, such as
//! a summary, uses [`Providers`] as one [`Llm`] that moves on while nothing has been said.

mod route;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};

pub use self::route::{Failed, Onward, Route};
use crate::{
    circuits::LocalCircuits,
    port::{
        circuits::{CircuitPolicy, Circuits},
        llm::{Llm, LlmError, LlmEvent, LlmStream, Prompt, ProviderInfo},
    },
};

/// What becomes of a reply whose provider died in the middle of it, when another one can be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Midstream {
    /// A new attempt: readers are reset and get another reply.
    #[default]
    Restart,
    /// The next provider is given what was said and asked to go on; readers notice a pause.
    Continue,
}

/// One provider with its circuit.
#[derive(Clone)]
pub struct Provider {
    llm: Arc<dyn Llm>,
    info: ProviderInfo,
    circuit: String,
    is_primary: bool,
}

impl Provider {
    /// It.
    pub fn llm(&self) -> &Arc<dyn Llm> {
        &self.llm
    }

    /// Who it is.
    pub fn info(&self) -> &ProviderInfo {
        &self.info
    }

    /// The prompt as this provider is asked: the model that a request names is the primary's; a fallback answers with the
    /// one it was configured with.
    pub fn adapt(&self, prompt: Prompt) -> Prompt {
        if self.is_primary { prompt } else { Prompt { model: None, ..prompt } }
    }

    /// The model that it is asked for.
    pub fn model<'a>(&'a self, asked: Option<&'a str>) -> &'a str {
        asked.filter(|_| self.is_primary).unwrap_or(&self.info.model)
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("info", &self.info).finish_non_exhaustive()
    }
}

/// All of them; at least one.
#[derive(Clone)]
pub struct Providers {
    primary: Provider,
    fallbacks: Vec<Provider>,
    circuits: Arc<dyn Circuits>,
    midstream: Midstream,
}

impl Providers {
    /// `primary` is asked first, then `fallbacks` in their order.
    pub fn new(
        primary: Arc<dyn Llm>,
        fallbacks: Vec<Arc<dyn Llm>>,
        circuits: Arc<dyn Circuits>,
        midstream: Midstream,
    ) -> Self {
        let provider = |llm: Arc<dyn Llm>, is_primary| {
            let info = llm.describe();
            // Workers of two releases may mean another server by the same name.
            let circuit = format!("{} {}", info.provider, info.base_url.as_deref().unwrap_or_default());
            Provider { llm, info, circuit, is_primary }
        };
        let fallbacks = fallbacks.into_iter().map(|llm| provider(llm, false)).collect();
        Self { primary: provider(primary, true), fallbacks, circuits, midstream }
    }

    /// One without fallbacks.
    pub fn alone(llm: Arc<dyn Llm>) -> Self {
        Self::new(llm, Vec::new(), Arc::new(LocalCircuits::new(CircuitPolicy::default())), Midstream::default())
    }

    /// The same with something around each provider.
    #[must_use]
    pub fn map(mut self, around: impl Fn(Arc<dyn Llm>) -> Arc<dyn Llm>) -> Self {
        for provider in std::iter::once(&mut self.primary).chain(&mut self.fallbacks) {
            provider.llm = around(Arc::clone(&provider.llm));
        }
        self
    }

    /// Who is asked first.
    pub fn describe(&self) -> ProviderInfo {
        self.primary.info.clone()
    }

    /// Those that are asked when the first can't answer.
    pub fn fallbacks(&self) -> &[Provider] {
        &self.fallbacks
    }

    /// What becomes of a reply that was cut.
    pub fn midstream(&self) -> Midstream {
        self.midstream
    }

    fn count(&self) -> usize {
        1 + self.fallbacks.len()
    }

    fn get(&self, place: usize) -> &Provider {
        place.checked_sub(1).and_then(|place| self.fallbacks.get(place)).unwrap_or(&self.primary)
    }

    fn report(&self, place: usize, is_well: Option<bool>) {
        let circuit = &self.get(place).circuit;
        match is_well {
            Some(true) => self.circuits.answered(circuit),
            Some(false) => self.circuits.failed(circuit),
            None => {}
        }
    }
}

#[async_trait]
impl Llm for Providers {
    fn describe(&self) -> ProviderInfo {
        Self::describe(self)
    }

    /// Each provider is tried once, until one has said something; what happens then is the stream's.
    async fn stream(&self, prompt: Prompt) -> Result<LlmStream, LlmError> {
        let mut route = Route::new(Arc::new(self.clone()));
        loop {
            let provider = route.ask().await.clone();
            let error = match begin(&provider, prompt.clone()).await {
                Ok(reply) => {
                    let (place, providers) = (route.place(), self.clone());
                    let watched = reply.inspect(move |event| match event {
                        Ok(LlmEvent::Finished { .. }) => providers.report(place, Some(true)),
                        Ok(_) => {}
                        Err(error) => providers.report(place, error.kind.provider_is_well()),
                    });
                    return Ok(watched.boxed());
                }
                Err(error) => error,
            };
            // As if it had begun: nobody waits here for the same provider once more.
            match route.failed(&Failed::of(&error, true)).await {
                Onward::Now { .. } => {}
                Onward::Later { .. } | Onward::Nowhere => return Err(error),
            }
        }
    }
}

/// The reply, once its first piece is there.
async fn begin(provider: &Provider, prompt: Prompt) -> Result<LlmStream, LlmError> {
    let mut reply = provider.llm.stream(provider.adapt(prompt)).await?;
    let first = reply.next().await.transpose()?;
    Ok(stream::iter(first.map(Ok)).chain(reply).boxed())
}

impl fmt::Debug for Providers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Providers")
            .field("primary", &self.primary)
            .field("fallbacks", &self.fallbacks)
            .finish_non_exhaustive()
    }
}
