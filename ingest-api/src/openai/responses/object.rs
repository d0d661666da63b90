//! The response object, and its items.

use parlance_shared::{
    TaskId,
    content::ToolCall,
    task::{Status, Task, Usage},
};
use serde_json::{Value, json};

use super::{
    ids::{call_item, message_item, response_id},
    known::Known,
    tools::{flat_format, flat_tools},
};

/// How a response stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    Queued,
    InProgress,
    Completed,
    /// Cut off, with OpenAI's word for why.
    Incomplete(&'static str),
    Failed,
    Cancelled,
}

impl Stand {
    pub(super) fn of(task: &Task) -> Self {
        match (task.status, task.details.finish_reason.as_deref()) {
            (Status::Queued, _) => Self::Queued,
            (Status::Running, _) => Self::InProgress,
            (Status::Completed, Some("length")) => Self::Incomplete("max_output_tokens"),
            (Status::Completed, Some("content_filter")) => Self::Incomplete("content_filter"),
            (Status::Completed, _) => Self::Completed,
            (Status::Failed, _) => Self::Failed,
            (Status::Cancelled, _) => Self::Cancelled,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete(_) => "incomplete",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Of an item of a response that ended so.
    pub(super) fn item_word(self) -> &'static str {
        if self == Self::Completed { "completed" } else { "incomplete" }
    }
}

impl Known {
    /// The response as it stands; `task` where something of it is to be told.
    pub(super) fn object(&self, stand: Stand, task: Option<&Task>) -> Value {
        let (echo, input) = (&self.echo, &self.input);
        let ended = task.filter(|task| task.status.is_terminal());
        let completed_at = ended.filter(|_| stand == Stand::Completed).and_then(|task| task.timings.finished_at);
        let parameter = |name: &str| input.parameters.get(name).cloned().unwrap_or_default();
        let accepted_at = self.accepted_at.or(task.and_then(|task| task.timings.accepted_at));
        let incomplete = match stand {
            Stand::Incomplete(reason) => json!({"reason": reason}),
            _ => Value::Null,
        };
        json!({
            "id": response_id(self.task),
            "object": "response",
            "created_at": accepted_at.map_or(0, |at| at.timestamp()),
            "completed_at": completed_at.map(|at| at.timestamp()),
            "status": stand.word(),
            "background": echo.background,
            "conversation": self.session.map(|session| json!({"id": session})),
            "error": ended.and_then(error),
            "incomplete_details": incomplete,
            "instructions": input.instructions,
            "max_output_tokens": input.max_output_tokens,
            "max_tool_calls": null,
            "metadata": self.metadata.clone().unwrap_or_default(),
            "model": ended.and_then(|task| task.model.as_deref()).unwrap_or(&self.model),
            "output": ended.map(|task| output(task, stand)).unwrap_or_default(),
            "parallel_tool_calls": echo.parallel_tool_calls.unwrap_or(true),
            "previous_response_id": echo.previous_response_id,
            "reasoning": echo.reasoning.clone().unwrap_or_else(|| json!({"effort": null, "summary": null})),
            "service_tier": "default",
            "store": echo.store,
            "temperature": parameter("temperature"),
            "text": self.text(),
            "tool_choice": echo.tool_choice.clone().unwrap_or_else(|| "auto".into()),
            "tools": flat_tools(input.tools.as_ref()),
            "top_logprobs": 0,
            "top_p": parameter("top_p"),
            "truncation": echo.truncation.as_deref().unwrap_or("disabled"),
            "usage": ended.and_then(|task| usage(&task.usage)),
            "user": parameter("user"),
        })
    }

    fn text(&self) -> Value {
        let mut text = json!({"format": flat_format(self.input.response_format.as_ref())});
        if let Some(verbosity) = self.input.parameters.get("verbosity") {
            text["verbosity"] = verbosity.clone();
        }
        text
    }
}

/// The items of a reply that has ended.
fn output(task: &Task, stand: Stand) -> Vec<Value> {
    let (id, attempt, text) = (task.id, task.attempt, task.reply.content.as_str());
    let said = (!text.is_empty()).then(|| message(id, attempt, stand.item_word(), Some(text)));
    let calls = task.details.tool_calls.iter().enumerate();
    said.into_iter().chain(calls.map(|(n, call)| function_call(id, attempt, n, call, stand.item_word()))).collect()
}

/// An item with what was said; without a part where nothing is (yet).
pub(super) fn message(task: TaskId, attempt: u32, status: &str, text: Option<&str>) -> Value {
    let parts: Vec<Value> = text.map(part).into_iter().collect();
    let id = message_item(task, attempt);
    json!({"id": id, "type": "message", "status": status, "role": "assistant", "content": parts})
}

/// What was said.
pub(super) fn part(text: &str) -> Value {
    json!({"type": "output_text", "annotations": [], "logprobs": [], "text": text})
}

/// A call of a tool.
pub(super) fn function_call(task: TaskId, attempt: u32, n: usize, call: &ToolCall, status: &str) -> Value {
    let id = call_item(task, attempt, n);
    let ToolCall { id: call_id, name, arguments } = call;
    json!({"id": id, "type": "function_call", "status": status, "call_id": call_id, "name": name, "arguments": arguments})
}

/// OpenAI's code, which its clients know, and ours.
fn error(task: &Task) -> Option<Value> {
    let error = task.error.as_ref()?;
    let code = match error.code.as_str() {
        "provider_rate_limited" | "budget_exhausted" => "rate_limit_exceeded",
        "provider_rejected"
        | "context_too_long"
        | "message_too_long"
        | "content_refused"
        | "images_not_supported"
        | "tools_not_supported"
        | "unknown_model" => "invalid_prompt",
        _ => "server_error",
    };
    Some(json!({"code": code, "message": error.message, "type": error.code}))
}

fn usage(usage: &Usage) -> Option<Value> {
    if !usage.is_known() {
        return None;
    }
    let (input, output) = (usage.input_tokens.unwrap_or_default(), usage.output_tokens.unwrap_or_default());
    Some(json!({
        "input_tokens": input,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens.unwrap_or_default(), "cache_write_tokens": 0},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": input.saturating_add(output),
    }))
}
