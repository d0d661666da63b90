//! The LLM: a prompt in, a stream of text out, and errors sorted by what helps.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    UserId,
    content::{ContentPart, ToolCall},
    task::Usage,
};

/// One provider.
#[async_trait]
pub trait Llm: Send + Sync + 'static {
    /// What `/health` and the start-up line say.
    fn describe(&self) -> ProviderInfo;

    /// Sends the prompt; returns when the provider has begun to answer. Dropping the stream drops the request.
    async fn stream(&self, prompt: Prompt) -> Result<LlmStream, LlmError>;
}

/// A reply as it comes. Ends after [`LlmEvent::Finished`] or an error.
pub type LlmStream = BoxStream<'static, Result<LlmEvent, LlmError>>;

/// Which provider is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProviderInfo {
    /// A stable name: `openai-compatible`, `fallback-1` and so on for those that are asked when it fails, or `offline`.
    pub provider: String,
    /// The model used when a request names none.
    pub model: String,
    /// Where it is reached; null for the offline provider.
    pub base_url: Option<String>,
}

/// What the model is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    /// The model; the provider's default when null.
    pub model: Option<String>,
    /// The conversation, oldest first.
    pub messages: Vec<PromptMessage>,
    /// What is passed through.
    pub options: PromptOptions,
    /// Whose replies may answer it again; none for a prompt that is always asked anew.
    pub scope: Option<PromptScope>,
}

/// Where a reply may be used again for the same prompt: never for another user, nor under another version of the template.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct PromptScope {
    /// Who asks.
    pub user: UserId,
    /// The name of the template for the instructions.
    pub template: String,
    /// Which version of it.
    pub version: String,
}

/// What a provider is given as it came; what it does not take it refuses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PromptOptions {
    /// Tools that it may call.
    pub tools: Option<Value>,
    /// Which of them.
    pub tool_choice: Option<Value>,
    /// The form of the reply.
    pub response_format: Option<Value>,
    /// The most tokens that the reply may have.
    pub max_output_tokens: Option<u32>,
    /// Further members of the request, such as `temperature`.
    pub parameters: Map<String, Value>,
}

/// One message of a prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptMessage {
    /// Who speaks.
    pub role: PromptRole,
    /// The text.
    pub content: String,
    /// Of a user's message that is more than text: all of it, text included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<ContentPart>,
    /// The tools that the model called in this message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// The call that a tool's message answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
}

impl PromptMessage {
    /// Plain text.
    pub fn text(role: PromptRole, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), parts: Vec::new(), tool_calls: Vec::new(), tool_call_id: None }
    }
}

/// Who speaks in a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PromptRole {
    /// Instructions.
    System,
    /// The user.
    User,
    /// The model.
    Assistant,
    /// A tool that the model called.
    Tool,
}

/// A piece of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LlmEvent {
    /// More text; never empty.
    Delta(String),
    /// A tool is to be called: all of the call. Comes after the text.
    ToolCall(ToolCall),
    /// The provider is done. Always the last event.
    Finished {
        /// The model that answered, if the provider said.
        model: Option<String>,
        /// Tokens, as far as the provider counted them.
        usage: Usage,
        /// Why it stopped, if it said: `stop`, `length`, `tool_calls`, `content_filter`.
        finish_reason: Option<String>,
    },
}

/// Why there is no (whole) reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", kind.code())]
pub struct LlmError {
    /// What happened.
    pub kind: LlmErrorKind,
    /// For the log: what the provider said, bounded, without secrets. Not for clients.
    pub detail: String,
    /// How long the provider asks to wait.
    pub retry_after: Option<Duration>,
}

impl LlmError {
    /// An error of this kind; `detail` is for the log.
    pub fn new(kind: LlmErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), retry_after: None }
    }
}

/// What went wrong with a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LlmErrorKind {
    /// No connection, or it was lost before the reply began.
    Unreachable,
    /// It answered with a 5xx or an error event.
    Unavailable,
    /// It answered 429.
    RateLimited,
    /// The first token took too long.
    FirstTokenTimeout,
    /// It fell silent in the middle.
    Stalled,
    /// The whole reply took too long.
    ReplyTimeout,
    /// The stream ended before the provider said it was done.
    StreamCut,
    /// It sent what is no stream of chat completion chunks.
    BadResponse,
    /// It finished without a word.
    EmptyReply,
    /// It said more than the limit.
    ReplyTooLong,
    /// It does not accept our key (401, 403), or the account has nothing left to pay with (402).
    Unauthorized,
    /// It does not know the model (404).
    UnknownModel,
    /// It does not accept the request (other 4xx).
    Rejected,
    /// The conversation is longer than the model can read.
    ContextTooLong,
    /// Its content filter refused.
    ContentRefused,
    /// The model takes no images.
    ImagesNotSupported,
    /// The model calls no tools.
    ToolsNotSupported,
}

impl LlmErrorKind {
    /// The code that a failed task carries.
    pub fn code(self) -> &'static str {
        match self {
            Self::Unreachable => "provider_unreachable",
            Self::Unavailable => "provider_unavailable",
            Self::RateLimited => "provider_rate_limited",
            Self::FirstTokenTimeout => "provider_first_token_timeout",
            Self::Stalled => "provider_stalled",
            Self::ReplyTimeout => "provider_reply_timeout",
            Self::StreamCut => "provider_stream_cut",
            Self::BadResponse => "provider_bad_response",
            Self::EmptyReply => "provider_empty_reply",
            Self::ReplyTooLong => "reply_too_long",
            Self::Unauthorized => "provider_unauthorized",
            Self::UnknownModel => "unknown_model",
            Self::Rejected => "provider_rejected",
            Self::ContextTooLong => "context_too_long",
            Self::ContentRefused => "content_refused",
            Self::ImagesNotSupported => "images_not_supported",
            Self::ToolsNotSupported => "tools_not_supported",
        }
    }

    /// Whether another attempt may succeed with the same provider.
    pub fn is_retryable(self) -> bool {
        !matches!(
            self,
            Self::ReplyTooLong
                | Self::Unauthorized
                | Self::UnknownModel
                | Self::Rejected
                | Self::ContextTooLong
                | Self::ContentRefused
                | Self::ImagesNotSupported
                | Self::ToolsNotSupported
        )
    }

    /// Whether another provider may do better. Not what the conversation itself is the cause of.
    pub fn may_pass_elsewhere(self) -> bool {
        let is_the_providers = matches!(
            self,
            Self::Unauthorized | Self::UnknownModel | Self::ImagesNotSupported | Self::ToolsNotSupported
        );
        is_the_providers || self.is_retryable()
    }

    /// What it says of the provider's health: `Some(false)` when others would fail as well, `Some(true)` when it was well
    /// enough to answer, `None` when that is not known.
    pub fn provider_is_well(self) -> Option<bool> {
        match self {
            Self::Unreachable
            | Self::Unavailable
            | Self::RateLimited
            | Self::FirstTokenTimeout
            | Self::Stalled
            | Self::ReplyTimeout
            | Self::StreamCut
            | Self::BadResponse
            | Self::Unauthorized => Some(false),
            Self::EmptyReply | Self::ReplyTooLong | Self::Rejected | Self::ContextTooLong | Self::ContentRefused => {
                Some(true)
            }
            // Perhaps nothing was asked at all, or something else answered.
            Self::UnknownModel | Self::ImagesNotSupported | Self::ToolsNotSupported => None,
        }
    }

    /// The sentence for the person who waits for the reply.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Unreachable => "The language model could not be reached.",
            Self::Unavailable => "The language model reported a fault of its own.",
            Self::RateLimited => "The language model is receiving too many requests.",
            Self::FirstTokenTimeout => "The language model did not begin to answer in time.",
            Self::Stalled => "The language model stopped in the middle of its answer.",
            Self::ReplyTimeout => "The language model took too long to finish its answer.",
            Self::StreamCut => "The connection to the language model broke in the middle of its answer.",
            Self::BadResponse => "The language model sent an answer that could not be read.",
            Self::EmptyReply => "The language model finished without an answer.",
            Self::ReplyTooLong => "The answer grew longer than this service accepts.",
            Self::Unauthorized => "The language model does not accept this service's credentials.",
            Self::UnknownModel => "The language model that was asked for does not exist.",
            Self::Rejected => "The language model did not accept the request.",
            Self::ContextTooLong => "The conversation is longer than the language model can read.",
            Self::ContentRefused => "The language model refused to answer this message.",
            Self::ImagesNotSupported => "The language model can't read images: send the message without them.",
            Self::ToolsNotSupported => "The language model can't call tools: send the message without them.",
        }
    }
}
