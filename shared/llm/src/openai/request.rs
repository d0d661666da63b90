//! What is sent.

use parlance_shared::port::llm::{Prompt, PromptMessage};
use serde::Serialize;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: &'a [PromptMessage],
    stream: bool,
    stream_options: StreamOptions,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

pub(super) fn body(prompt: &Prompt, default_model: &str) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&Body {
        model: prompt.model.as_deref().unwrap_or(default_model),
        messages: &prompt.messages,
        stream: true,
        stream_options: StreamOptions { include_usage: true },
    })
}
