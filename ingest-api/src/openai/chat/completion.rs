//! A reply as a chat completion: ids, reasons and usage as this protocol has them, and the whole of it.

use chrono::{DateTime, Utc};
use parlance_shared::{
    TaskId,
    content::ToolCall,
    id::PrefixedId as _,
    id_mint::IdMint,
    task::{Task, Usage},
};
use serde::Serialize;

/// What an id of a completion begins with; the rest is the task's.
const PREFIX: &str = "chatcmpl-";

/// What stands for the model as long as nobody has said which.
pub(super) const UNNAMED: &str = "default";

/// The completion's id.
pub(crate) fn id_of(task: TaskId) -> String {
    format!("{PREFIX}{}", task.uuid().as_simple())
}

/// The task that a completion's id means.
pub(crate) fn task_of(id: &str) -> Option<TaskId> {
    format!("{}_{}", TaskId::PREFIX, id.strip_prefix(PREFIX)?).parse().ok()
}

/// When it was asked for, in seconds. An id that was made by a key does not tell.
pub(crate) fn created(task: TaskId, otherwise: Option<DateTime<Utc>>) -> i64 {
    IdMint::made_at(task).or(otherwise).map_or(0, |at| at.timestamp())
}

/// A whole reply.
#[derive(Debug, Serialize)]
pub(crate) struct Completion {
    id: String,
    object: &'static str,
    created: i64,
    model: String,
    choices: [Choice; 1],
    usage: Option<UsageView>,
    /// Nobody here knows.
    system_fingerprint: Option<String>,
}

#[derive(Debug, Serialize)]
struct Choice {
    index: u32,
    message: Message,
    logprobs: Option<()>,
    finish_reason: &'static str,
}

#[derive(Debug, Serialize)]
struct Message {
    role: &'static str,
    content: Option<String>,
    refusal: Option<String>,
    annotations: [(); 0],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<CallView>,
}

/// A call of a tool.
#[derive(Debug, Serialize)]
pub(super) struct CallView {
    /// Of a stream's chunk alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    id: String,
    r#type: &'static str,
    function: FunctionView,
}

#[derive(Debug, Serialize)]
struct FunctionView {
    name: String,
    arguments: String,
}

impl CallView {
    /// The call with its place among all of the reply.
    pub(super) fn at(index: usize, call: ToolCall) -> Self {
        Self { index: Some(index), ..call.into() }
    }
}

impl From<ToolCall> for CallView {
    fn from(call: ToolCall) -> Self {
        let ToolCall { id, name, arguments } = call;
        Self { index: None, id, r#type: "function", function: FunctionView { name, arguments } }
    }
}

/// Tokens, under the names of this protocol.
#[derive(Debug, Serialize)]
pub(crate) struct UsageView {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptTokens,
}

#[derive(Debug, Serialize)]
struct PromptTokens {
    cached_tokens: u64,
}

impl UsageView {
    /// None when nobody counted.
    pub(super) fn of(usage: &Usage) -> Option<Self> {
        let Usage { input_tokens, output_tokens, cached_tokens } = *usage;
        if input_tokens.is_none() && output_tokens.is_none() {
            return None;
        }
        let (prompt_tokens, completion_tokens) = (input_tokens.unwrap_or(0), output_tokens.unwrap_or(0));
        let prompt_tokens_details = PromptTokens { cached_tokens: cached_tokens.unwrap_or(0) };
        let total_tokens = prompt_tokens.saturating_add(completion_tokens);
        Some(Self { prompt_tokens, completion_tokens, total_tokens, prompt_tokens_details })
    }
}

/// Why the reply ended. Some providers say `stop` to a reply that calls tools, or nothing.
pub(super) fn finish_reason(task: &Task) -> &'static str {
    match task.details.finish_reason.as_deref() {
        Some("length") => "length",
        Some("content_filter") => "content_filter",
        _ if !task.details.tool_calls.is_empty() => "tool_calls",
        _ => "stop",
    }
}

impl Completion {
    /// Of a task that was completed.
    pub(crate) fn of(task: Task) -> Self {
        let finish_reason = finish_reason(&task);
        let tool_calls: Vec<CallView> = task.details.tool_calls.into_iter().map(CallView::from).collect();
        let content = Some(task.reply.content).filter(|text| !text.is_empty() || tool_calls.is_empty());
        let message = Message { role: "assistant", content, refusal: None, annotations: [], tool_calls };
        Self {
            id: id_of(task.id),
            object: "chat.completion",
            created: created(task.id, task.timings.accepted_at),
            model: task.model.unwrap_or_else(|| UNNAMED.to_owned()),
            choices: [Choice { index: 0, message, logprobs: None, finish_reason }],
            usage: UsageView::of(&task.usage),
            system_fingerprint: None,
        }
    }
}
