//! Answers when there is no model: says so first, then does with the text what needs none. Deterministic.

mod compose;
mod text;

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use parlance_shared::{
    port::llm::{Llm, LlmError, LlmEvent, LlmStream, Prompt, ProviderInfo},
    task::Usage,
};
use url::Url;

/// How its replies begin, and how they are told from a model's in the history of a conversation.
pub(crate) const LABEL: &str = "No language model is configured, so this is Parlance's offline assistant, not a model.";

const HOW_TO: &str = "To get real answers, set LLM_BASE_URL, LLM_API_KEY and LLM_MODEL to any OpenAI-compatible \
                      service, or start Ollama on this machine; then restart Parlance.";

/// The provider that is always there. Counts no tokens: it has no tokenizer to count with.
#[derive(Clone, Debug)]
pub struct Offline {
    introduction: String,
}

impl Offline {
    /// For when nothing is configured and nothing was found.
    pub fn new() -> Self {
        Self { introduction: format!("{LABEL} {HOW_TO}") }
    }

    /// For when a local server was found that has no model.
    pub(crate) fn with_empty_server(url: &Url) -> Self {
        let found = format!(
            "A local server answers at {url}, but it has no model to chat with: `ollama pull llama3.2` gets one, and \
             a restart of Parlance takes it into use."
        );
        Self { introduction: format!("{LABEL} {HOW_TO} {found}") }
    }
}

impl Default for Offline {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Llm for Offline {
    fn describe(&self) -> ProviderInfo {
        ProviderInfo { provider: "offline".to_owned(), model: "offline".to_owned(), base_url: None }
    }

    async fn stream(&self, prompt: Prompt) -> Result<LlmStream, LlmError> {
        let reply = format!("{}\n\n{}", self.introduction, compose::answer(&prompt.messages));
        let words: Vec<String> = reply.split_inclusive(char::is_whitespace).map(str::to_owned).collect();
        let end = LlmEvent::Finished {
            model: Some("offline".to_owned()),
            usage: Usage::default(),
            finish_reason: Default::default(),
        };
        let events = words.into_iter().map(LlmEvent::Delta).chain([end]);
        Ok(stream::iter(events)
            .then(|event| async {
                // Others get their turn between words.
                tokio::task::yield_now().await;
                Ok(event)
            })
            .boxed())
    }
}
