//! What is known of models: how much they can read, and how they count tokens. The list is `models.json`, by how a model's
//! name begins; the longest match counts.
//!
//! Lengths are those that a model's maker gives. A server may run a model with less (Ollama does unless it is told
//! otherwise), and what a proxy calls a model may be anything: `CONTEXT_TOKENS` goes before the list.

use serde::Deserialize;

/// What an unknown model is taken to read: what nearly all models of the last years can.
pub(crate) const UNKNOWN_CONTEXT: u32 = 16_384;

#[derive(Deserialize)]
struct Entry {
    prefix: String,
    context: u32,
    tokenizer: Option<String>,
}

/// The list.
pub(crate) struct Models(Vec<Entry>);

/// What is known of one model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known<'a> {
    /// Tokens of a prompt and its reply together.
    pub(crate) context: u32,
    /// How it counts them; none when that is not known.
    pub(crate) tokenizer: Option<&'a str>,
}

impl Models {
    pub(crate) fn new() -> Self {
        // Compiled in and read by a test.
        Self(serde_json::from_str(include_str!("../models.json")).unwrap_or_default())
    }

    /// Looks a model up by its name, without what stands before a slash (`openai/gpt-4o`), whatever its case.
    pub(crate) fn look_up(&self, model: &str) -> Known<'_> {
        let name = model.rsplit('/').next().unwrap_or(model).to_ascii_lowercase();
        let fitting = self.0.iter().filter(|entry| name.starts_with(&entry.prefix));
        match fitting.max_by_key(|entry| entry.prefix.len()) {
            Some(entry) => Known { context: entry.context, tokenizer: entry.tokenizer.as_deref() },
            None => Known { context: UNKNOWN_CONTEXT, tokenizer: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::ENCODINGS;

    #[test]
    fn the_longest_match_counts() {
        let models = Models::new();
        let known = |name| {
            let Known { context, tokenizer } = models.look_up(name);
            (context, tokenizer)
        };
        assert_eq!(known("gpt-4o-mini-2024-07-18"), (128_000, Some("o200k_base")));
        assert_eq!(known("gpt-4"), (8_192, Some("cl100k_base")));
        assert_eq!(known("openai/GPT-4.1-nano"), (1_047_576, Some("o200k_base")));
        assert_eq!(known("llama3.2:3b"), (131_072, None));
        assert_eq!(known("models/gemini-2.5-flash"), (1_048_576, None));
        assert_eq!(known("mock-model"), (UNKNOWN_CONTEXT, None));
    }

    #[test]
    fn every_tokenizer_of_the_list_is_there() {
        let models = Models::new();
        assert!(models.0.len() > 30, "the list can't be read");
        for tokenizer in models.0.iter().filter_map(|entry| entry.tokenizer.as_deref()) {
            assert!(ENCODINGS.iter().any(|(known, _)| *known == tokenizer), "{tokenizer}");
        }
    }
}
