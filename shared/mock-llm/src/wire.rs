//! The bytes of chat completion chunks. Built by gluing: the mock runs beside what it measures and must cost nothing.

use serde_json::json;

const DONE: &[u8] = b"data: [DONE]\n\n";
pub(crate) const COMMENT: &[u8] = b": still here\n\n";
pub(crate) const GARBAGE: &[u8] = b"data: {\"id\":\"chatcmpl-mock\",\"choices\":[{\"delta\":{\"con\xff\xfe\x00\n\n";
const DEFAULT_MODEL: &str = "mock-model";

/// The parts of a chunk around its text, for one model.
pub(crate) struct Chunks {
    model: String,
    head: Vec<u8>,
}

const TAIL: &[u8] = b"\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n";

impl Chunks {
    pub(crate) fn new(model: Option<&str>) -> Self {
        let model = json!(model.unwrap_or(DEFAULT_MODEL)).to_string();
        let head = format!(
            "data: {{\"id\":\"chatcmpl-mock\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\
             \"model\":{model},\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\""
        );
        Self { model, head: head.into_bytes() }
    }

    /// The first event, which carries the role and no text, as OpenAI sends it.
    pub(crate) fn role(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(
            b"\",\"role\":\"assistant\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n",
        );
    }

    /// An event with text that needs no escaping.
    pub(crate) fn text(&self, text: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(text.as_bytes());
        out.extend_from_slice(TAIL);
    }

    /// The finish reason, the usage when asked for, and `[DONE]`.
    pub(crate) fn end(&self, finish_reason: &str, usage: Option<Usage>, out: &mut Vec<u8>) {
        let common = format!(
            "data: {{\"id\":\"chatcmpl-mock\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":{}",
            self.model
        );
        out.extend_from_slice(common.as_bytes());
        out.extend_from_slice(
            format!(",\"choices\":[{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"{finish_reason}\"}}]}}\n\n")
                .as_bytes(),
        );
        if let Some(usage) = usage {
            out.extend_from_slice(common.as_bytes());
            out.extend_from_slice(format!(",\"choices\":[],\"usage\":{}}}\n\n", usage.json()).as_bytes());
        }
        out.extend_from_slice(DONE);
    }

    /// The whole reply as one JSON object, for requests without `stream`.
    pub(crate) fn completion(&self, text: &str, finish_reason: &str, usage: Usage) -> Vec<u8> {
        format!(
            "{{\"id\":\"chatcmpl-mock\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":{},\"choices\":\
             [{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":{}}},\"finish_reason\":\"{finish_reason}\"}}],\
             \"usage\":{}}}",
            self.model,
            json!(text),
            usage.json()
        )
        .into_bytes()
    }
}

/// Tokens of a reply. The mock counts a message of the prompt as one token per four bytes, and one at least.
#[derive(Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) prompt: u64,
    pub(crate) completion: u64,
}

impl Usage {
    fn json(self) -> String {
        format!(
            "{{\"prompt_tokens\":{},\"completion_tokens\":{},\"total_tokens\":{},\
             \"prompt_tokens_details\":{{\"cached_tokens\":0}}}}",
            self.prompt,
            self.completion,
            self.prompt + self.completion
        )
    }
}

/// An error as OpenAI words it.
pub(crate) fn error_json(kind: &str, code: Option<&str>, message: &str) -> String {
    json!({"error": {"message": message, "type": kind, "param": null, "code": code}}).to_string()
}

/// The same as an event in the middle of a stream.
pub(crate) fn error_event(kind: &str, code: Option<&str>, message: &str) -> Vec<u8> {
    format!("data: {}\n\n", error_json(kind, code, message)).into_bytes()
}
