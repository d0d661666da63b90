//! `input`: a text, or items of a conversation. What comes last is asked; what comes before it is told.

use parlance_shared::{
    content::{ContentPart, ImageUrl, ToolCall, ToolResult},
    port::llm::{PromptMessage, PromptRole},
};
use serde_json::{Map, Value, json};

use crate::{
    problem::Code,
    read_parts::{MAX_PARTS, image_url, string},
    validate::{Faults, MAX_CONTENT_BYTES, is_blank},
};

/// The most items of one request.
const MAX_ITEMS: usize = 1_024;
const ROLES: &[&str] = &["user", "assistant", "system", "developer"];
const ITEMS: &[&str] = &["message", "function_call", "function_call_output", "reasoning"];
const REFERENCE: &str = "refers to an item by its id, which is not offered: send the item itself, or go on from its response by \
     previous_response_id.";
const ACCEPTED: &[&str] = &["a string that is not blank", "an array of 1 to 1024 items"];

/// What is asked, and what was said before.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Input {
    /// The text of the last message.
    pub(super) content: String,
    /// All of it, when it is more than text.
    pub(super) parts: Vec<ContentPart>,
    /// Results of tools that came right before it, or last.
    pub(super) tool_results: Vec<ToolResult>,
    /// What came before that.
    pub(super) history: Vec<PromptMessage>,
}

/// Reads `input`.
pub(super) fn input(faults: &mut Faults, value: Option<&Value>, data_uri_bytes: usize) -> Input {
    match value {
        Some(Value::String(text)) => {
            check(faults, "input", text);
            Input { content: text.clone(), ..Input::default() }
        }
        Some(Value::Array(items)) if (1..=MAX_ITEMS).contains(&items.len()) => {
            let mut told = Vec::new();
            for (n, item) in items.iter().enumerate() {
                Reader { faults, place: format!("input[{n}]"), data_uri_bytes }.item(&mut told, item);
            }
            split(faults, told)
        }
        None => {
            faults.add("input", Code::MissingField, "is required.", ACCEPTED);
            Input::default()
        }
        Some(_) => {
            faults.add("input", Code::InvalidField, "must be a string, or an array of 1 to 1024 items.", ACCEPTED);
            Input::default()
        }
    }
}

fn check(faults: &mut Faults, place: &str, text: &str) {
    if text.len() > MAX_CONTENT_BYTES {
        let detail = format!("has {} bytes of text; at most {MAX_CONTENT_BYTES} are accepted.", text.len());
        faults.add(place, Code::ContentTooLarge, detail, ACCEPTED);
    } else if is_blank(text) {
        faults.add(place, Code::InvalidField, "must not be blank.", ACCEPTED);
    } else if text.contains('\0') {
        faults.add(place, Code::InvalidField, "must not contain the character U+0000.", &[]);
    }
}

/// The last message is asked, with the results right before it; or the results that come last.
fn split(faults: &mut Faults, mut told: Vec<PromptMessage>) -> Input {
    const LAST: &[&str] = &["a message of the role user, or a function_call_output, as the last item"];
    let asked = told.pop_if(|last| last.role == PromptRole::User);
    let mut results = Vec::new();
    while let Some(result) = told.pop_if(|last| last.role == PromptRole::Tool) {
        let tool_call_id = result.tool_call_id.unwrap_or_default();
        results.push(ToolResult { tool_call_id, content: result.content });
    }
    results.reverse();
    match &asked {
        Some(asked) if asked.parts.is_empty() => check(faults, "input", &asked.content),
        Some(_) => {}
        None if results.is_empty() => {
            faults.add("input", Code::InvalidField, "must end with what is asked.", LAST);
        }
        None => {}
    }
    let (content, parts) = asked.map(|asked| (asked.content, asked.parts)).unwrap_or_default();
    Input { content, parts, tool_results: results, history: told }
}

struct Reader<'a> {
    faults: &'a mut Faults,
    place: String,
    data_uri_bytes: usize,
}

impl Reader<'_> {
    fn at(&self, field: &str) -> String {
        format!("{}.{field}", self.place)
    }

    fn refuse(&mut self, field: &str, detail: &'static str, accepted: &[&str]) {
        let place = self.at(field);
        self.faults.add(&place, Code::InvalidField, detail, accepted);
    }

    fn text(&mut self, item: &Map<String, Value>, field: &str) -> Option<String> {
        let place = self.at(field);
        string(self.faults, &place, item.get(field)).map(str::to_owned)
    }

    fn item(&mut self, told: &mut Vec<PromptMessage>, item: &Value) {
        let Value::Object(item) = item else {
            let place = self.place.clone();
            self.faults.add(&place, Code::InvalidField, "must be an object.", &["an object"]);
            return;
        };
        let kind = item.get("type").filter(|kind| !kind.is_null());
        match kind.map_or(Some("message"), Value::as_str) {
            Some("item_reference") => self.refuse("type", REFERENCE, ITEMS),
            // A reference need not say that it is one.
            _ if kind.is_none() && item.contains_key("id") && !item.contains_key("role") => {
                self.refuse("id", REFERENCE, ITEMS);
            }
            Some("message") => told.extend(self.message(item)),
            Some("function_call") => {
                let (id, name) = (self.text(item, "call_id"), self.text(item, "name"));
                let (Some(id), Some(name), Some(arguments)) = (id, name, self.text(item, "arguments")) else { return };
                if !told.last().is_some_and(|last| last.role == PromptRole::Assistant) {
                    told.push(PromptMessage::text(PromptRole::Assistant, ""));
                }
                if let Some(saying) = told.last_mut() {
                    saying.tool_calls.push(ToolCall { id, name, arguments });
                }
            }
            Some("function_call_output") => {
                let (id, output) = (self.text(item, "call_id"), self.output(item));
                if let (Some(id), Some(output)) = (id, output) {
                    let message = PromptMessage::text(PromptRole::Tool, output);
                    told.push(PromptMessage { tool_call_id: Some(id), ..message });
                }
            }
            // Clients send it back with the rest; the model has no use for what another one thought.
            Some("reasoning") => {}
            _ => self.refuse("type", "is not an item that this server takes.", ITEMS),
        }
    }

    fn message(&mut self, item: &Map<String, Value>) -> Option<PromptMessage> {
        let role = match item.get("role").and_then(Value::as_str) {
            Some("user") => PromptRole::User,
            Some("assistant") => PromptRole::Assistant,
            Some("system" | "developer") => PromptRole::System,
            _ => {
                self.refuse("role", "must say who speaks.", ROLES);
                return None;
            }
        };
        let parts = match item.get("content") {
            Some(Value::Array(parts)) => self.parts("content", parts, role == PromptRole::User)?,
            _ => {
                let text = self.text(item, "content")?;
                vec![ContentPart::Text { text }]
            }
        };
        let message = PromptMessage::text(role, text_of(&parts));
        let plain = parts.iter().all(|part| matches!(part, ContentPart::Text { .. }));
        Some(PromptMessage { parts: if plain { Vec::new() } else { parts }, ..message })
    }

    /// What a tool gave: a text, or parts of text.
    fn output(&mut self, item: &Map<String, Value>) -> Option<String> {
        match item.get("output") {
            Some(Value::Array(parts)) => self.parts("output", parts, false).map(|parts| text_of(&parts)),
            _ => self.text(item, "output"),
        }
    }

    fn parts(&mut self, field: &str, items: &[Value], images: bool) -> Option<Vec<ContentPart>> {
        if items.is_empty() || items.len() > MAX_PARTS {
            self.refuse(field, "must have 1 to 32 parts.", &["an array of 1 to 32 parts"]);
            return None;
        }
        let mut parts = Vec::with_capacity(items.len());
        for (n, item) in items.iter().enumerate() {
            let place = self.at(&format!("{field}[{n}]"));
            parts.push(Reader { faults: self.faults, place, data_uri_bytes: self.data_uri_bytes }.part(item, images));
        }
        parts.into_iter().collect()
    }

    fn part(&mut self, part: &Value, images: bool) -> Option<ContentPart> {
        const TEXT: &[&str] = &["input_text", "output_text", "refusal"];
        const ALL: &[&str] = &["input_text", "input_image", "output_text", "refusal"];
        let empty = Map::new();
        let part = part.as_object().unwrap_or(&empty);
        match part.get("type").and_then(Value::as_str) {
            Some("input_text" | "output_text" | "text") => {
                self.text(part, "text").map(|text| ContentPart::Text { text })
            }
            Some("refusal") => self.text(part, "refusal").map(|text| ContentPart::Text { text }),
            Some("input_image") if images => self.image(part),
            Some("input_file" | "input_audio") => {
                self.refuse("type", "is not accepted: files and audio are not passed on.", ALL);
                None
            }
            _ => {
                self.refuse(
                    "type",
                    "must be the type of a part that is accepted here.",
                    if images { ALL } else { TEXT },
                );
                None
            }
        }
    }

    fn image(&mut self, part: &Map<String, Value>) -> Option<ContentPart> {
        let Some(url) = part.get("image_url").and_then(Value::as_str) else {
            let accepted = ["an https: URL, or a data: URI"];
            self.refuse("image_url", "is required; images that were uploaded as files are not passed on.", &accepted);
            return None;
        };
        let detail = part.get("detail").cloned().unwrap_or_default();
        let (place, image) = (self.at("image_url"), json!({"url": url, "detail": detail}));
        let image: ImageUrl = image_url(self.faults, &place, image.as_object()?, self.data_uri_bytes)?;
        Some(ContentPart::ImageUrl { image_url: image })
    }
}

/// The text of all parts, a line each.
fn text_of(parts: &[ContentPart]) -> String {
    let texts = parts.iter().filter_map(|part| match part {
        ContentPart::Text { text } => Some(text.as_str()),
        ContentPart::ImageUrl { .. } => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: Value) -> (Input, Vec<String>) {
        let mut faults = Faults::default();
        (input(&mut faults, Some(&value), 64), faults.fields())
    }

    #[test]
    fn the_last_message_is_asked_and_the_rest_is_told() {
        let (input, faults) = read(json!([
            {"role": "developer", "content": "Be brief."},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "weather?"}]},
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "message", "role": "assistant", "id": "msg_1", "content": [{"type": "output_text", "text": "Hm.", "annotations": []}]},
            {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
            {"type": "function_call", "call_id": "c2", "name": "weather", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "rain"},
            {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "sun"}]},
            {"role": "user", "content": [{"type": "input_text", "text": "so?"}, {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "low"}]},
        ]));
        assert_eq!(faults, [""; 0]);
        assert_eq!((input.content.as_str(), input.parts.len()), ("so?", 2));
        assert_eq!(input.tool_results.iter().map(|r| r.content.as_str()).collect::<Vec<_>>(), ["rain", "sun"]);
        let told: Vec<_> = input.history.iter().map(|m| (m.role, m.content.as_str(), m.tool_calls.len())).collect();
        let wanted = [
            (PromptRole::System, "Be brief.", 0),
            (PromptRole::User, "weather?", 0),
            (PromptRole::Assistant, "Hm.", 2),
        ];
        assert_eq!(told, wanted);
    }

    #[test]
    fn results_alone_are_a_question() {
        let (input, faults) = read(json!([{"type": "function_call_output", "call_id": "c1", "output": ""}]));
        assert_eq!((faults.len(), input.content.as_str(), input.tool_results.len()), (0, "", 1));
        assert_eq!(read(json!("hello")).0, Input { content: "hello".into(), ..Input::default() });
    }

    #[test]
    fn each_fault_names_its_place() {
        let user = |part: Value| json!([{"role": "user", "content": [part]}]);
        for (value, field) in [
            (json!(""), "input"),
            (json!(5), "input"),
            (json!([]), "input"),
            (json!("a\0"), "input"),
            (json!([{"role": "assistant", "content": "a"}]), "input"),
            (json!([{"role": "user", "content": " "}]), "input"),
            (json!([5, {"role": "user", "content": "a"}]), "input[0]"),
            (json!([{"role": "tool", "content": "a"}, {"role": "user", "content": "a"}]), "input[0].role"),
            (json!([{"type": "item_reference", "id": "x"}, {"role": "user", "content": "a"}]), "input[0].type"),
            (json!([{"id": "x"}, {"role": "user", "content": "a"}]), "input[0].id"),
            (json!([{"id": "x", "type": null}, {"role": "user", "content": "a"}]), "input[0].id"),
            (
                json!([{"type": "function_call", "call_id": "c", "name": "n"}, {"role": "user", "content": "a"}]),
                "input[0].arguments",
            ),
        ] {
            assert_eq!(read(value.clone()).1, [field], "{value}");
        }
        for (part, field) in [
            (json!({"type": "input_file", "file_id": "f"}), "input[0].content[0].type"),
            (json!({"type": "input_audio"}), "input[0].content[0].type"),
            (json!({"type": "input_text"}), "input[0].content[0].text"),
            (json!({"type": "input_image", "file_id": "f"}), "input[0].content[0].image_url"),
            (json!({"type": "input_image", "image_url": "http://example.com"}), "input[0].content[0].image_url.url"),
            (json!("text"), "input[0].content[0].type"),
        ] {
            assert_eq!(read(user(part.clone())).1.first().map(String::as_str), Some(field), "{part}");
        }
    }
}
