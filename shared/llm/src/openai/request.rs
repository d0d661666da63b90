//! What is sent. What a client gave for the provider goes along as it came; a member of ours is never replaced by it.

use std::collections::BTreeMap;

use parlance_shared::{
    content::{ContentPart, ToolCall},
    port::llm::{Prompt, PromptMessage, PromptRole},
};
use serde::Serialize;
use serde_json::Value;
use url::{Host, Url};

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    stream: bool,
    stream_options: StreamOptions,
    #[serde(flatten)]
    parameters: BTreeMap<&'a str, &'a Value>,
}

/// What we say ourselves, sent or not: nobody else's word counts.
const OURS: &[&str] = &[
    "model",
    "messages",
    "tools",
    "tool_choice",
    "response_format",
    "max_tokens",
    "max_completion_tokens",
    "stream",
    "stream_options",
    "n",
];

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct Message<'a> {
    role: PromptRole,
    content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(&'a str),
    Parts(&'a [ContentPart]),
}

#[derive(Serialize)]
struct Call<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: &'a str,
}

impl<'a> Message<'a> {
    fn of(message: &'a PromptMessage) -> Self {
        let content = if !message.parts.is_empty() {
            Some(Content::Parts(&message.parts))
        } else if message.content.is_empty() && !message.tool_calls.is_empty() {
            None
        } else {
            Some(Content::Text(&message.content))
        };
        Self {
            role: message.role,
            content,
            tool_calls: message.tool_calls.iter().map(Call::of).collect(),
            tool_call_id: message.tool_call_id.as_deref(),
        }
    }
}

impl<'a> Call<'a> {
    fn of(call: &'a ToolCall) -> Self {
        let ToolCall { id, name, arguments } = call;
        Self { id, kind: "function", function: Function { name, arguments } }
    }
}

/// OpenAI's newer models refuse `max_tokens`; most others know nothing else.
pub(super) fn counts_completion_tokens(base_url: &Url) -> bool {
    let Some(Host::Domain(host)) = base_url.host() else { return false };
    ["openai.com", "openai.azure.com"]
        .iter()
        .any(|owner| host.strip_suffix(owner).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

pub(super) fn body(prompt: &Prompt, default_model: &str, completion_tokens: bool) -> serde_json::Result<Vec<u8>> {
    let options = &prompt.options;
    let most = options.max_output_tokens;
    let foreign = options.parameters.iter().filter(|(name, _)| !OURS.contains(&name.as_str()));
    serde_json::to_vec(&Body {
        model: prompt.model.as_deref().unwrap_or(default_model),
        messages: prompt.messages.iter().map(Message::of).collect(),
        tools: options.tools.as_ref(),
        tool_choice: options.tool_choice.as_ref(),
        response_format: options.response_format.as_ref(),
        max_tokens: most.filter(|_| !completion_tokens),
        max_completion_tokens: most.filter(|_| completion_tokens),
        stream: true,
        stream_options: StreamOptions { include_usage: true },
        parameters: foreign.map(|(name, value)| (name.as_str(), value)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use parlance_shared::{content::ImageUrl, port::llm::PromptOptions};
    use serde_json::json;

    use super::*;

    fn sent(prompt: &Prompt) -> Value {
        serde_json::from_slice(&body(prompt, "default", false).unwrap()).unwrap()
    }

    #[test]
    fn plain_text_stays_plain() {
        let prompt = Prompt { messages: vec![PromptMessage::text(PromptRole::User, "hi")], ..Prompt::default() };
        let expected = json!({
            "model": "default",
            "messages": [{"role": "user", "content": "hi"}],
            "stream": true,
            "stream_options": {"include_usage": true}
        });
        assert_eq!(sent(&prompt), expected);
    }

    #[test]
    fn parts_calls_and_results_have_openais_shape() {
        let image = ImageUrl { url: "data:image/png;base64,AA==".to_owned(), detail: Some("low".to_owned()) };
        let parts =
            vec![ContentPart::Text { text: "what is this?".to_owned() }, ContentPart::ImageUrl { image_url: image }];
        let call = ToolCall { id: "c1".to_owned(), name: "look".to_owned(), arguments: "{\"at\":1}".to_owned() };
        let text = PromptMessage::text;
        let tools = json!([{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]);
        let prompt = Prompt {
            model: Some("m".to_owned()),
            messages: vec![
                PromptMessage { parts, ..text(PromptRole::User, "what is this?") },
                PromptMessage { tool_calls: vec![call], ..text(PromptRole::Assistant, "") },
                PromptMessage { tool_call_id: Some("c1".to_owned()), ..text(PromptRole::Tool, "a cat") },
            ],
            options: PromptOptions {
                tools: Some(tools.clone()),
                tool_choice: Some(json!("auto")),
                response_format: Some(json!({"type": "json_object"})),
                max_output_tokens: Some(50),
                ..PromptOptions::default()
            },
            ..Prompt::default()
        };
        let sent = sent(&prompt);
        let messages = json!([
            {"role": "user", "content": [
                {"type": "text", "text": "what is this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}}
            ]},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{\"at\":1}"}}
            ]},
            {"role": "tool", "content": "a cat", "tool_call_id": "c1"}
        ]);
        assert_eq!(sent["messages"], messages);
        assert_eq!((&sent["tools"], &sent["tool_choice"]), (&tools, &json!("auto")));
        assert_eq!((&sent["response_format"], &sent["max_tokens"]), (&json!({"type": "json_object"}), &json!(50)));
    }

    #[test]
    fn parameters_go_along_and_ours_always_win() {
        let mut parameters = serde_json::Map::new();
        for name in OURS {
            parameters.insert((*name).to_owned(), json!("theirs"));
        }
        parameters.insert("temperature".to_owned(), json!(0.2));
        parameters.insert("stop".to_owned(), json!(["a", "b"]));
        let options = PromptOptions { parameters, max_output_tokens: Some(7), ..PromptOptions::default() };
        let bytes = body(&Prompt { options, ..Prompt::default() }, "default", true).unwrap();
        let expected = json!({
            "model": "default", "messages": [], "stream": true, "stream_options": {"include_usage": true},
            "max_completion_tokens": 7, "temperature": 0.2, "stop": ["a", "b"]
        });
        assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), expected);
        assert_eq!(String::from_utf8(bytes).unwrap().matches("\"model\"").count(), 1);
    }

    #[test]
    fn the_limit_has_the_name_that_the_provider_knows() {
        for (url, expected) in [
            ("https://api.openai.com/v1", true),
            ("https://my.openai.azure.com/openai/v1", true),
            ("https://notopenai.com/v1", false),
            ("http://127.0.0.1:11434/v1", false),
        ] {
            assert_eq!(counts_completion_tokens(&url.parse().unwrap()), expected, "{url}");
        }
    }
}
