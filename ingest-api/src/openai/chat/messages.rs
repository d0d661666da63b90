//! `messages` of a chat completion: what is new, and what was said before.

use parlance_shared::{
    content::{ContentPart, ToolCall, ToolResult},
    port::llm::{PromptMessage, PromptRole},
};
use serde_json::{Map, Value, json};

use crate::{
    problem::Code,
    read_parts::{parts, string},
    validate::{Faults, has_nul},
};

/// The most messages of a request.
const MAX_MESSAGES: usize = 4_096;
/// The most calls of one message.
const MAX_CALLS: usize = 128;

const ROLES: &[&str] = &["system", "developer", "user", "assistant", "tool"];
const CONTENT: &[&str] = &["a string", "an array of parts"];

/// What a client says.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Conversation {
    /// All before the new message, system messages among it.
    pub(crate) history: Vec<PromptMessage>,
    /// The new message's text.
    pub(crate) content: String,
    /// Its parts, if it is more than text.
    pub(crate) parts: Vec<ContentPart>,
    /// The results of tools that it brings.
    pub(crate) tool_results: Vec<ToolResult>,
}

/// Reads them all. `stands_alone`: the calls that results answer must be among them.
pub(crate) fn conversation(
    faults: &mut Faults,
    value: Option<Value>,
    data_uri_bytes: usize,
    stands_alone: bool,
) -> Conversation {
    const ACCEPTED: &[&str] = &["an array of 1 to 4096 messages"];
    let items = match value {
        None | Some(Value::Null) => {
            faults.add("messages", Code::MissingField, "is required.", ACCEPTED);
            return Conversation::default();
        }
        Some(Value::Array(items)) if (1..=MAX_MESSAGES).contains(&items.len()) => items,
        Some(_) => {
            faults.add("messages", Code::InvalidField, "must be an array of 1 to 4096 messages.", ACCEPTED);
            return Conversation::default();
        }
    };
    let mut told = Vec::with_capacity(items.len());
    for (n, item) in items.into_iter().enumerate() {
        let mut inner = Faults::default();
        let read = message(&mut inner, item, data_uri_bytes);
        faults.nest(&format!("messages[{n}]"), inner);
        let Some(read) = read else { return Conversation::default() };
        if stands_alone && read.role == PromptRole::Tool && !answers(&told, read.tool_call_id.as_deref()) {
            let detail = "must be the id of a call of the assistant's message before.";
            faults.add(&format!("messages[{n}].tool_call_id"), Code::InvalidField, detail, &[]);
            return Conversation::default();
        }
        told.push(read);
    }
    split(faults, told)
}

/// Whether a result answers a call of the message that the results follow.
fn answers(told: &[PromptMessage], id: Option<&str>) -> bool {
    let caller = told.iter().rev().find(|message| message.role != PromptRole::Tool);
    caller.is_some_and(|message| message.tool_calls.iter().any(|call| Some(call.id.as_str()) == id))
}

/// Tells the new message from what was said before.
fn split(faults: &mut Faults, mut told: Vec<PromptMessage>) -> Conversation {
    let place = format!("messages[{}]", told.len().saturating_sub(1));
    let mut new = Conversation::default();
    if let Some(last) = told.pop_if(|last| last.role == PromptRole::User) {
        (new.content, new.parts) = (last.content, last.parts);
    }
    while let Some(result) = told.pop_if(|last| last.role == PromptRole::Tool) {
        let tool_call_id = result.tool_call_id.unwrap_or_default();
        new.tool_results.insert(0, ToolResult { tool_call_id, content: result.content });
    }
    if new.tool_results.is_empty() && new.parts.is_empty() {
        // Nothing at all is a place that is wrong, and nothing to read is a fault of the text.
        let mut inner = Faults::default();
        inner.content(Some(&new.content));
        faults.nest(&place, inner);
    }
    new.history = told;
    new
}

fn message(faults: &mut Faults, item: Value, data_uri_bytes: usize) -> Option<PromptMessage> {
    if has_nul(&item) {
        faults.add("", Code::InvalidField, "must not contain the character U+0000.", &[]);
        return None;
    }
    let Value::Object(mut fields) = item else {
        faults.add("", Code::InvalidField, "must be an object with a role.", &["an object"]);
        return None;
    };
    let content = fields.remove("content").unwrap_or_default();
    match fields.get("role").and_then(Value::as_str) {
        Some("system" | "developer") => Some(PromptMessage::text(PromptRole::System, text(faults, content)?)),
        Some("user") => user(faults, content, data_uri_bytes),
        Some("assistant") => assistant(faults, content, &mut fields),
        Some("tool") => {
            let id = string(faults, "tool_call_id", fields.get("tool_call_id"))?.to_owned();
            let result = PromptMessage::text(PromptRole::Tool, text(faults, content)?);
            Some(PromptMessage { tool_call_id: Some(id), ..result })
        }
        _ => {
            faults.add("role", Code::InvalidField, "must be a role that is accepted.", ROLES);
            None
        }
    }
}

fn user(faults: &mut Faults, content: Value, data_uri_bytes: usize) -> Option<PromptMessage> {
    let Value::Array(items) = content else {
        return Some(PromptMessage::text(PromptRole::User, text(faults, content)?));
    };
    let items: Vec<Value> = items.into_iter().map(without_extras).collect();
    let mut inner = Faults::default();
    let (content, parts) = parts(&mut inner, &items, data_uri_bytes);
    let fine = inner.is_empty();
    faults.append(inner);
    let has_more = parts.iter().any(|part| !matches!(part, ContentPart::Text { .. }));
    let parts = if has_more { parts } else { Vec::new() };
    fine.then(|| PromptMessage { parts, ..PromptMessage::text(PromptRole::User, content) })
}

/// A part with the members that are known: clients add some of their own.
fn without_extras(item: Value) -> Value {
    match item["type"].as_str() {
        Some("text") => json!({"type": "text", "text": item["text"]}),
        Some("image_url") if item["image_url"].is_object() => {
            let image = &item["image_url"];
            json!({"type": "image_url", "image_url": {"url": image["url"], "detail": image["detail"]}})
        }
        _ => item,
    }
}

fn assistant(faults: &mut Faults, content: Value, fields: &mut Map<String, Value>) -> Option<PromptMessage> {
    let said = match content {
        Value::Null => fields.get("refusal").and_then(Value::as_str).unwrap_or_default().to_owned(),
        content => text(faults, content)?,
    };
    let tool_calls = match fields.remove("tool_calls") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(calls)) if calls.len() <= MAX_CALLS => {
            let read = calls.iter().enumerate().map(|(n, call)| tool_call(faults, &format!("tool_calls[{n}]"), call));
            read.collect::<Option<Vec<_>>>()?
        }
        Some(_) => {
            let accepted = &["an array of at most 128 calls"];
            faults.add("tool_calls", Code::InvalidField, "must be an array of at most 128 calls.", accepted);
            return None;
        }
    };
    Some(PromptMessage { tool_calls, ..PromptMessage::text(PromptRole::Assistant, said) })
}

fn tool_call(faults: &mut Faults, place: &str, call: &Value) -> Option<ToolCall> {
    if call["type"].as_str().is_some_and(|kind| kind != "function") {
        faults.add(&format!("{place}.type"), Code::InvalidField, "must be function.", &["function"]);
        return None;
    }
    let id = string(faults, &format!("{place}.id"), call.get("id"))?.to_owned();
    let function = &call["function"];
    let name = string(faults, &format!("{place}.function.name"), function.get("name"))?.to_owned();
    let arguments = string(faults, &format!("{place}.function.arguments"), function.get("arguments"))?.to_owned();
    Some(ToolCall { id, name, arguments })
}

/// Text, as a string or as parts of text.
fn text(faults: &mut Faults, content: Value) -> Option<String> {
    match content {
        Value::String(text) => Some(text),
        Value::Array(items) => {
            let texts = items.iter().enumerate().map(|(n, item)| match item["type"].as_str() {
                Some("text") => string(faults, &format!("content[{n}].text"), item.get("text")),
                Some("refusal") => string(faults, &format!("content[{n}].refusal"), item.get("refusal")),
                _ => {
                    let detail = "must be the type of a part that is accepted here.";
                    faults.add(&format!("content[{n}].type"), Code::InvalidField, detail, &["text"]);
                    None
                }
            });
            Some(texts.collect::<Option<Vec<_>>>()?.join("\n"))
        }
        Value::Null => {
            faults.add("content", Code::MissingField, "is required.", CONTENT);
            None
        }
        _ => {
            faults.add("content", Code::InvalidField, "must be a string or an array of parts.", CONTENT);
            None
        }
    }
}

#[cfg(test)]
mod tests;
