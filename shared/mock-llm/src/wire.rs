//! The bytes of chat completion chunks. Built by gluing: the mock runs beside what it measures and must cost nothing.

use serde_json::{Value, json};

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

    /// Calls of tools, as OpenAI sends them: each begins with its name, then its arguments come bit by bit, and those of
    /// several calls in turn.
    pub(crate) fn calls(&self, calls: &[(String, String)], attempt: u32, out: &mut Vec<u8>) {
        let mut piece = |call: Value| {
            let choice = json!([{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": null}]);
            out.extend_from_slice(
                format!("data: {{\"id\":\"chatcmpl-mock\",\"model\":{},\"choices\":{choice}}}\n\n", self.model)
                    .as_bytes(),
            );
        };
        for (index, (name, _)) in calls.iter().enumerate() {
            let function = json!({"name": name, "arguments": ""});
            piece(json!({"index": index, "id": call_id(attempt, index), "type": "function", "function": function}));
        }
        let mut rests: Vec<&str> = calls.iter().map(|(_, arguments)| arguments.as_str()).collect();
        while rests.iter().any(|rest| !rest.is_empty()) {
            for (index, rest) in rests.iter_mut().enumerate().filter(|(_, rest)| !rest.is_empty()) {
                let (bit, later) = rest.split_at(rest.ceil_char_boundary(CALL_BIT));
                piece(json!({"index": index, "function": {"arguments": bit}}));
                *rest = later;
            }
        }
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
    pub(crate) fn completion(&self, text: &str, calls: &[(String, String)], attempt: u32, usage: Usage) -> Vec<u8> {
        let mut message = json!({"role": "assistant", "content": text});
        if !calls.is_empty() {
            let call = |(index, (name, arguments)): (usize, &(String, String))| {
                let function = json!({"name": name, "arguments": arguments});
                json!({"id": call_id(attempt, index), "type": "function", "function": function})
            };
            message["tool_calls"] = calls.iter().enumerate().map(call).collect();
        }
        format!(
            "{{\"id\":\"chatcmpl-mock\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":{},\"choices\":\
             [{{\"index\":0,\"message\":{message},\"finish_reason\":\"{}\"}}],\"usage\":{}}}",
            self.model,
            finish_reason(calls),
            usage.json()
        )
        .into_bytes()
    }
}

/// Bytes of arguments in one piece of a call.
const CALL_BIT: usize = 7;

/// Why a reply with these calls ends.
pub(crate) fn finish_reason(calls: &[(String, String)]) -> &'static str {
    if calls.is_empty() { "stop" } else { "tool_calls" }
}

fn call_id(attempt: u32, index: usize) -> String {
    format!("call_mock_{attempt}_{index}")
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
