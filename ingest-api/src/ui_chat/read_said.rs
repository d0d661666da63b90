//! What the last message of a chat says: a user's text and images, or the results of the tools that the reply called.

use parlance_shared::content::{ContentPart, ToolResult};
use serde_json::{Value, json};

use crate::{problem::Code, read_parts::parts, read_tools, validate::Faults};

/// The last message.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) content: String,
    /// When it is more than text.
    pub(super) parts: Vec<ContentPart>,
    pub(super) tool_results: Vec<ToolResult>,
    /// It is a reply, which goes on with the results of its tools.
    pub(super) continues: bool,
}

pub(super) fn said(faults: &mut Faults, message: &Value, data_uri_bytes: usize) -> Said {
    let Some(items) = message.get("parts").and_then(Value::as_array) else {
        faults.add("parts", Code::MissingField, "must be the message's parts.", &["an array of parts"]);
        return Said::default();
    };
    match message.get("role").and_then(Value::as_str) {
        Some("user") => by_user(faults, items, data_uri_bytes),
        Some("assistant") => by_tools(faults, items),
        _ => {
            let accepted = &["user", "assistant, with the results of its tools"];
            faults.add("role", Code::InvalidField, "must be that of the user, or of a reply that goes on.", accepted);
            Said::default()
        }
    }
}

/// Text and images; what a page adds for itself (`data-…`) is not for the model.
fn by_user(faults: &mut Faults, items: &[Value], data_uri_bytes: usize) -> Said {
    let mut read = Vec::new();
    for (n, item) in items.iter().enumerate() {
        let kind = item.get("type").and_then(Value::as_str).unwrap_or_default();
        match kind {
            "text" => read.push(json!({"type": "text", "text": item.get("text")})),
            "file" if is_image(item) => read.push(json!({"type": "image_url", "image_url": {"url": item.get("url")}})),
            "file" => {
                let detail = "must be an image; other files are not accepted.";
                faults.add(&format!("parts[{n}].mediaType"), Code::InvalidField, detail, &["image/…"]);
            }
            kind if kind.starts_with("data-") => {}
            _ => {
                let detail = "must be text or a file in a user's message.";
                faults.add(&format!("parts[{n}].type"), Code::InvalidField, detail, &["text", "file", "data-…"]);
            }
        }
    }
    if !faults.is_empty() {
        return Said::default();
    }
    let (content, parts) = parts(faults, &read, data_uri_bytes);
    let is_plain = parts.iter().all(|part| matches!(part, ContentPart::Text { .. }));
    Said { content, parts: if is_plain { Vec::new() } else { parts }, ..Said::default() }
}

fn is_image(file: &Value) -> bool {
    file.get("mediaType").and_then(Value::as_str).is_some_and(|kind| kind.starts_with("image/"))
}

/// The results of its last step's tools; those of earlier steps were sent before.
fn by_tools(faults: &mut Faults, items: &[Value]) -> Said {
    let kind = |item: &Value| item.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let last_step = items.iter().rposition(|item| kind(item) == "step-start").map_or(0, |n| n + 1);
    let mut results = Vec::new();
    for (n, item) in items.iter().enumerate().skip(last_step) {
        if !kind(item).starts_with("tool-") && kind(item) != "dynamic-tool" {
            continue;
        }
        let content = match item.get("state").and_then(Value::as_str) {
            Some("output-available") => item.get("output").map_or_else(|| "null".to_owned(), as_text),
            Some("output-error") => item.get("errorText").map_or_else(|| "error".to_owned(), as_text),
            Some("output-denied") => "The user did not allow this call.".to_owned(),
            _ => {
                let accepted = &["output-available", "output-error", "output-denied"];
                let detail = "must be that of a call with a result: every call of the reply needs one.";
                faults.add(&format!("parts[{n}].state"), Code::InvalidField, detail, accepted);
                continue;
            }
        };
        results.push(json!({"tool_call_id": item.get("toolCallId"), "content": content}));
    }
    if results.is_empty() && faults.is_empty() {
        let detail = "must hold the results of the tools that the reply called, or the last message be the user's.";
        faults.add("parts", Code::InvalidField, detail, &["tool parts with the state output-available"]);
    }
    if !faults.is_empty() {
        return Said::default();
    }
    let tool_results = read_tools::tool_results(faults, Some(&Value::Array(results)));
    Said { tool_results, continues: true, ..Said::default() }
}

fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
