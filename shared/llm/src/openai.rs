//! Any endpoint that speaks OpenAI's Chat Completions with `stream: true`.
//!
//! The chunks are read into structs of our own. `async-openai`'s types were considered: they come with some twenty
//! crates, know one provider's fields, and refuse chunks of others (a missing `id`, a null list). What is needed here
//! is four fields, read leniently, a hundred times a reply.

mod chunk;
mod deadlines;
mod lenient;
mod redact;
mod refusal;
mod reply_stream;
mod request;
mod retry_after;
mod tool_calls;

use std::{fmt, time::Duration};

use async_trait::async_trait;
use parlance_shared::{
    Clock,
    content::ContentPart,
    port::llm::{Llm, LlmError, LlmErrorKind, LlmStream, Prompt, ProviderInfo},
    settings::{LlmSettings, Support},
    trace::{self, TRACEPARENT},
};
use reqwest::{
    Client, Response,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue},
};
use tokio::time::{Instant, timeout_at};
use url::Url;

use self::{deadlines::Deadlines, redact::Redactor, refusal::Asks, reply_stream::ReplyStream};
use crate::{choose::ChooseError, http_client};

/// Error bodies are read up to here.
const MAX_ERROR_BODY_BYTES: usize = 8 * 1024;
/// And for no longer than this.
const ERROR_BODY_TIMEOUT: Duration = Duration::from_secs(2);

/// One endpoint with its default model and limits. Holds a pool of connections; share it.
pub struct OpenAiCompatible {
    client: Client,
    endpoint: Url,
    info: ProviderInfo,
    authorization: Option<HeaderValue>,
    redactor: Redactor,
    limits: Limits,
    images: Support,
    tools: Support,
    counts_completion_tokens: bool,
    /// The provider may know which trace a request belongs to.
    says_trace: bool,
    clock: Clock,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    first_token: Duration,
    idle: Duration,
    reply: Duration,
    max_reply_bytes: usize,
}

impl OpenAiCompatible {
    /// Prepares a client; connects to nothing yet.
    ///
    /// # Errors
    /// When the key can't be sent as a header or no client can be built (no certificates on this machine).
    pub fn new(base_url: &Url, model: &str, settings: &LlmSettings, clock: Clock) -> Result<Self, ChooseError> {
        let endpoint = http_client::below(base_url, &["chat", "completions"]).ok_or(ChooseError::BaseUrlHasNoPath)?;
        let client = http_client::build(&endpoint, settings.connect_timeout).map_err(ChooseError::Client)?;
        let key = settings.api_key.as_ref().map(|key| key.expose());
        let authorization = key.map(bearer).transpose()?;
        let redactor = Redactor::new(key, base_url);
        let info = ProviderInfo {
            provider: settings.name.to_owned(),
            model: model.to_owned(),
            base_url: Some(redact::without_secrets(base_url)),
        };
        let limits = Limits {
            first_token: settings.first_token_timeout,
            idle: settings.idle_timeout,
            reply: settings.reply_timeout,
            max_reply_bytes: settings.max_reply_bytes,
        };
        let counts_completion_tokens = request::counts_completion_tokens(base_url);
        let (images, tools) = (settings.images, settings.tools);
        Ok(Self {
            client,
            endpoint,
            info,
            authorization,
            redactor,
            limits,
            images,
            tools,
            counts_completion_tokens,
            says_trace: settings.traceparent,
            clock,
        })
    }

    async fn send(&self, prompt: &Prompt, deadlines: &Deadlines) -> Result<Response, LlmError> {
        let body = request::body(prompt, &self.info.model, self.counts_completion_tokens)
            .map_err(|error| LlmError::new(LlmErrorKind::Rejected, error.to_string()))?;
        let mut request = self
            .client
            .post(self.endpoint.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(ACCEPT, HeaderValue::from_static("text/event-stream"))
            .body(body);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        if let Some(context) = trace::current().filter(|_| self.says_trace) {
            request = request.header(TRACEPARENT, context.traceparent());
        }
        match timeout_at(deadlines.next(), request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(self.not_answered(error)),
            Err(_) => Err(deadlines.passed(Instant::now())),
        }
    }

    /// There was no response, not even its head.
    fn not_answered(&self, error: reqwest::Error) -> LlmError {
        let kind = if is_unreadable(&error) { LlmErrorKind::BadResponse } else { LlmErrorKind::Unreachable };
        LlmError::new(kind, self.redactor.clean(&http_client::chain_of(error)))
    }

    /// What the prompt asks that the model may refuse.
    ///
    /// # Errors
    /// When it is known to.
    fn check(&self, prompt: &Prompt) -> Result<Asks, LlmError> {
        let mut parts = prompt.messages.iter().flat_map(|message| &message.parts);
        let has_images = parts.any(|part| matches!(part, ContentPart::ImageUrl { .. }));
        let has_tools = prompt.options.tools.is_some();
        if has_images && self.images == Support::No {
            return Err(LlmError::new(LlmErrorKind::ImagesNotSupported, "the settings say so"));
        }
        if has_tools && self.tools == Support::No {
            return Err(LlmError::new(LlmErrorKind::ToolsNotSupported, "the settings say so"));
        }
        let recognised = |support| support == Support::Auto;
        Ok(Asks { images: has_images && recognised(self.images), tools: has_tools && recognised(self.tools) })
    }

    async fn refused(&self, response: Response, asks: Asks, deadlines: &Deadlines) -> LlmError {
        let status = response.status();
        let retry_after = retry_after::read(response.headers(), &self.clock);
        let body = read_error_body(response, deadlines).await;
        refusal::from_response(status, &body, retry_after, asks, &self.redactor)
    }

    /// A 200 that is no event stream: a proxy's page, or a server that does not stream.
    async fn not_a_stream(&self, response: Response, content_type: &str, deadlines: &Deadlines) -> LlmError {
        let body = read_error_body(response, deadlines).await;
        refusal::from_event(&body, &self.redactor).unwrap_or_else(|| {
            let detail = format!("the answer is {content_type}, not an event stream");
            LlmError::new(LlmErrorKind::BadResponse, self.redactor.clean(&detail))
        })
    }
}

#[async_trait]
impl Llm for OpenAiCompatible {
    fn describe(&self) -> ProviderInfo {
        self.info.clone()
    }

    async fn stream(&self, prompt: Prompt) -> Result<LlmStream, LlmError> {
        let asks = self.check(&prompt)?;
        let deadlines = Deadlines::start(self.limits.first_token, self.limits.idle, self.limits.reply);
        let response = self.send(&prompt, &deadlines).await?;
        if !response.status().is_success() {
            return Err(self.refused(response, asks, &deadlines).await);
        }
        if let Some(content_type) = foreign_content_type(&response) {
            return Err(self.not_a_stream(response, &content_type, &deadlines).await);
        }
        let redactor = self.redactor.clone();
        let stream = ReplyStream::new(response.bytes_stream(), deadlines, self.limits.max_reply_bytes, redactor);
        Ok(Box::pin(stream))
    }
}

impl fmt::Debug for OpenAiCompatible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiCompatible").field("info", &self.info).finish_non_exhaustive()
    }
}

fn bearer(key: &str) -> Result<HeaderValue, ChooseError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| ChooseError::KeyNotSendable)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The content type, when it can't be an event stream. A missing one, or plain text, may well be: the events will tell.
fn foreign_content_type(response: &Response) -> Option<String> {
    let text = response.headers().get(CONTENT_TYPE)?.to_str().ok()?;
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_plausible = matches!(essence.as_str(), "" | "text/event-stream" | "text/plain" | "application/octet-stream");
    (!is_plausible).then_some(essence)
}

/// As much of the body as fits the bounds; an empty one when nothing comes.
async fn read_error_body(mut response: Response, deadlines: &Deadlines) -> Vec<u8> {
    let mut body = Vec::new();
    let until = deadlines.next().min(Instant::now() + ERROR_BODY_TIMEOUT);
    while body.len() < MAX_ERROR_BODY_BYTES {
        match timeout_at(until, response.chunk()).await {
            Ok(Ok(Some(chunk))) => {
                let room = MAX_ERROR_BODY_BYTES - body.len();
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            }
            _ => break,
        }
    }
    body
}

/// Whether something answered that does not speak HTTP as we do.
fn is_unreadable(error: &reqwest::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(hyper) = cause.downcast_ref::<hyper::Error>() {
            return hyper.is_parse();
        }
        source = cause.source();
    }
    false
}
