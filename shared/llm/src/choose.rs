//! Which provider a process uses: the configured one, else a local server, else the offline provider.

use std::sync::Arc;

use parlance_shared::{
    Clock,
    port::{circuits::Circuits, llm::Llm},
    providers::Providers,
    settings::LlmSettings,
};
use tracing::{debug, info};
use url::Url;

use crate::{
    local_server::{self, Found},
    offline::Offline,
    openai::OpenAiCompatible,
};

/// Where Ollama listens unless told otherwise. Other local servers can be put there, too.
pub const LOCAL_SERVER: &str = "http://127.0.0.1:11434/v1";

/// Why no provider could be prepared. None of these shows a secret.
#[derive(Debug, thiserror::Error)]
pub enum ChooseError {
    /// There is an address, but no model to ask for.
    #[error("{0} has an address and no model")]
    NoModel(&'static str),
    /// The address can't be extended by a path.
    #[error("LLM_BASE_URL can't be extended by a path")]
    BaseUrlHasNoPath,
    /// The key has characters that no HTTP header may have.
    #[error("LLM_API_KEY has characters that can't be sent in an HTTP header, such as a line break")]
    KeyNotSendable,
    /// No HTTP client can be had.
    #[error("no HTTP client can be set up: {0}")]
    Client(String),
}

/// Chooses the providers: the one of [`choose`], and the configured fallbacks. None is connected to yet.
///
/// # Errors
/// As [`choose`].
pub async fn choose_all(settings: &LlmSettings, circuits: Arc<dyn Circuits>) -> Result<Providers, ChooseError> {
    let primary = choose(settings).await?;
    let configured = |settings: &LlmSettings| configured(settings).transpose();
    let fallbacks = settings.fallbacks.iter().filter_map(configured).collect::<Result<Vec<_>, _>>()?;
    for fallback in &fallbacks {
        let provider = fallback.describe();
        info!(llm.provider = provider.provider, llm.model = provider.model, "asked when the others fail");
    }
    Ok(Providers::new(primary, fallbacks, circuits, settings.midstream))
}

/// The provider at the configured address.
fn configured(settings: &LlmSettings) -> Result<Option<Arc<dyn Llm>>, ChooseError> {
    let Some(base_url) = &settings.base_url else { return Ok(None) };
    let model = settings.model.as_deref().ok_or(ChooseError::NoModel(settings.name))?;
    Ok(Some(Arc::new(OpenAiCompatible::new(base_url, model, settings, Clock::system())?)))
}

/// Chooses the provider that is asked first. Takes at most half a second, and none when an address is configured.
///
/// # Errors
/// When the configured provider can't be used as configured. That nothing answers there is no error: it may come up.
pub async fn choose(settings: &LlmSettings) -> Result<Arc<dyn Llm>, ChooseError> {
    choose_with(settings, LOCAL_SERVER).await
}

/// The same, with the address at which a local server is looked for.
///
/// # Errors
/// As [`choose`].
pub async fn choose_with(settings: &LlmSettings, local_server: &str) -> Result<Arc<dyn Llm>, ChooseError> {
    if let Some(configured) = configured(settings)? {
        return Ok(configured);
    }
    let Ok(url) = local_server.parse::<Url>() else { return Ok(Arc::new(Offline::new())) };
    match local_server::look(&url).await {
        Found::Model(model) => {
            info!(llm.base_url = %url, llm.model = model, "a local server answers: using it");
            // Whatever is in LLM_API_KEY was not meant for it.
            let settings = LlmSettings { api_key: None, ..settings.clone() };
            Ok(Arc::new(OpenAiCompatible::new(&url, &model, &settings, Clock::system())?))
        }
        Found::NoModel => {
            info!(llm.base_url = %url, "a local server answers, but has no chat model: answering offline");
            Ok(Arc::new(Offline::with_empty_server(&url)))
        }
        Found::Nothing => {
            debug!(llm.base_url = %url, "no local server answers: answering offline");
            Ok(Arc::new(Offline::new()))
        }
    }
}
