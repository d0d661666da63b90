//! One event of the stream, as far as it matters here.

use parlance_shared::task::Usage;
use serde::Deserialize;
use serde_json::Value;

use super::{
    lenient::{Count, Text, or_none},
    tool_calls::CallPiece,
};

/// A chat completion chunk. Unknown fields are skipped, missing and null ones are fine.
#[derive(Debug, Deserialize)]
pub(super) struct Chunk {
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default)]
    model: Text,
    #[serde(default, deserialize_with = "or_none")]
    usage: Option<UsageBody>,
    /// Some providers report errors inside a chunk.
    #[serde(default)]
    pub(super) error: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Option<Delta>,
    #[serde(default)]
    finish_reason: Text,
}

#[derive(Debug, Default, Deserialize)]
struct Delta {
    #[serde(default)]
    content: Text,
    #[serde(default)]
    refusal: Text,
    /// DeepSeek, vLLM.
    #[serde(default)]
    reasoning_content: Text,
    /// OpenRouter, Ollama.
    #[serde(default)]
    reasoning: Text,
    #[serde(default, deserialize_with = "or_none")]
    tool_calls: Option<Vec<CallPiece>>,
}

#[derive(Debug, Deserialize)]
struct UsageBody {
    #[serde(default)]
    prompt_tokens: Count,
    #[serde(default)]
    completion_tokens: Count,
    #[serde(default, deserialize_with = "or_none")]
    prompt_tokens_details: Option<PromptTokensDetails>,
}

#[derive(Debug, Deserialize)]
struct PromptTokensDetails {
    #[serde(default)]
    cached_tokens: Count,
}

/// What a chunk says.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) text: Option<String>,
    /// The model declines, in words of its own.
    pub(super) refusal: bool,
    /// The model thinks.
    pub(super) reasoning: bool,
    pub(super) tool_calls: Vec<CallPiece>,
    pub(super) finish_reason: Option<String>,
    pub(super) usage: Option<Usage>,
    pub(super) model: Option<String>,
}

impl Chunk {
    /// Only the first choice matters: no more than one is asked for.
    pub(super) fn into_said(self) -> Said {
        let choice = self.choices.and_then(|choices| choices.into_iter().next());
        let (delta, finish_reason) =
            choice.map(|c| (c.delta.unwrap_or_default(), c.finish_reason.0)).unwrap_or_default();
        Said {
            text: delta.content.0,
            refusal: delta.refusal.0.is_some(),
            reasoning: delta.reasoning_content.0.is_some() || delta.reasoning.0.is_some(),
            tool_calls: delta.tool_calls.unwrap_or_default(),
            finish_reason,
            usage: self.usage.map(UsageBody::into_usage),
            model: self.model.0,
        }
    }
}

impl UsageBody {
    fn into_usage(self) -> Usage {
        Usage {
            input_tokens: self.prompt_tokens.0,
            output_tokens: self.completion_tokens.0,
            cached_tokens: self.prompt_tokens_details.and_then(|details| details.cached_tokens.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(json: &str) -> Said {
        serde_json::from_str::<Chunk>(json).unwrap_or_else(|error| panic!("{json}: {error}")).into_said()
    }

    #[test]
    fn text_is_found_in_what_providers_send() {
        for json in [
            r#"{"choices":[{"delta":{"content":"hi"}}]}"#,
            r#"{"id":null,"object":null,"created":null,"choices":[{"index":0,"delta":{"role":null,"content":"hi","tool_calls":null},"finish_reason":null,"logprobs":null}],"usage":null,"error":null}"#,
            r#"{"id":7,"choices":[{"delta":{"content":"hi"},"finish_reason":""}],"x_groq":{"id":"r"},"model":null}"#,
            r#"{"choices":[{"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"no"}]},{"type":"text","text":"hi"}]}}]}"#,
            r#"{"choices":[{"delta":{"content":"hi"}},{"index":1,"delta":{"content":"other"}}],"usage":"none"}"#,
        ] {
            let said = said(json);
            assert_eq!(said.text.as_deref(), Some("hi"), "{json}");
            assert_eq!((said.finish_reason, said.usage), (None, None), "{json}");
        }
    }

    #[test]
    fn chunks_that_say_nothing_are_read() {
        for json in [
            "{}",
            r#"{"choices":[]}"#,
            r#"{"choices":null}"#,
            r#"{"choices":[{}]}"#,
            r#"{"choices":[{"delta":null}]}"#,
            r#"{"choices":[{"delta":{"content":null}}]}"#,
            r#"{"choices":[{"delta":{"content":""}}],"prompt_filter_results":[{"prompt_index":0}]}"#,
            r#"{"choices":[{"delta":{"content":{"odd":1}}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":"odd"}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[]}}]}"#,
        ] {
            let said = said(json);
            assert_eq!((said.text, said.finish_reason, said.usage, said.model), (None, None, None, None), "{json}");
            assert!(!said.refusal && !said.reasoning && said.tool_calls.is_empty(), "{json}");
        }
    }

    #[test]
    fn usage_is_read_with_cached_tokens_and_without() {
        let full = said(
            r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3.0,"total_tokens":12,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0}}}"#,
        );
        assert_eq!(full.usage, Some(Usage { input_tokens: Some(9), output_tokens: Some(3), cached_tokens: Some(4) }));
        let bare =
            said(r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":-1,"prompt_tokens_details":null}}"#);
        assert_eq!(bare.usage, Some(Usage { input_tokens: Some(9), output_tokens: None, cached_tokens: None }));
    }

    #[test]
    fn calls_are_found() {
        let json = r#"{"choices":[{"delta":{"content":null,"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":""}},{}]}}]}"#;
        assert_eq!(said(json).tool_calls.len(), 2);
    }

    #[test]
    fn refusals_and_thoughts_are_told_from_text() {
        assert!(said(r#"{"choices":[{"delta":{"refusal":"I can't"}}]}"#).refusal);
        assert!(said(r#"{"choices":[{"delta":{"reasoning_content":"hm"}}]}"#).reasoning);
        assert!(said(r#"{"choices":[{"delta":{"reasoning":"hm","content":""}}]}"#).reasoning);
    }
}
