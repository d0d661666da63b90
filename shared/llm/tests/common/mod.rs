//! What the tests of the adapter share.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

use std::time::Duration;

use futures_util::StreamExt as _;
use parlance_llm::choose;
use parlance_mock_llm::{Behaviour, MockLlm, Script};
use parlance_shared::{
    port::llm::{LlmError, LlmErrorKind, LlmEvent, Prompt, PromptMessage, PromptRole},
    settings::{LlmSettings, PRIMARY, Secret},
    task::Usage,
};

/// Nothing in a test should take this long.
pub const LONG: Duration = Duration::from_secs(30);

/// The key that must never show.
pub const KEY: &str = "sk-test-1234567890";

pub fn settings(base_url: &str) -> LlmSettings {
    LlmSettings {
        name: PRIMARY,
        base_url: Some(base_url.parse().unwrap()),
        api_key: Some(Secret::new(KEY)),
        model: Some("default-model".to_owned()),
        connect_timeout: LONG,
        first_token_timeout: LONG,
        idle_timeout: LONG,
        reply_timeout: LONG,
        max_reply_bytes: 4 * 1024 * 1024,
        images: Default::default(),
        tools: Default::default(),
        traceparent: false,
        fallbacks: Vec::new(),
        midstream: Default::default(),
        circuits: Default::default(),
    }
}

pub fn prompt(text: &str) -> Prompt {
    Prompt {
        model: None,
        messages: vec![PromptMessage {
            role: PromptRole::User,
            content: text.to_owned(),
            parts: Default::default(),
            tool_call_id: Default::default(),
            tool_calls: Default::default(),
        }],
        ..Prompt::default()
    }
}

pub fn mock(behaviour: impl Into<Behaviour>) -> MockLlm {
    MockLlm::start(Script::always(behaviour)).unwrap()
}

/// How one request went.
#[derive(Debug)]
pub struct Outcome {
    /// The text that came, also before an error.
    pub text: String,
    /// In how many pieces.
    pub pieces: usize,
    /// The model and usage at the end, or the error.
    pub end: Result<(Option<String>, Usage), LlmError>,
}

impl Outcome {
    pub fn kind(&self) -> LlmErrorKind {
        match &self.end {
            Err(error) => error.kind,
            Ok(_) => panic!("no error: {self:?}"),
        }
    }

    pub fn error(&self) -> &LlmError {
        self.end.as_ref().expect_err("an error")
    }
}

/// Sends `text` and reads the reply to its end.
pub async fn ask(settings: &LlmSettings, text: &str) -> Outcome {
    let llm = choose(settings).await.unwrap();
    tokio::time::timeout(LONG * 2, async {
        let mut outcome = Outcome { text: String::new(), pieces: 0, end: Ok((None, Usage::default())) };
        let mut stream = match llm.stream(prompt(text)).await {
            Ok(stream) => stream,
            Err(error) => return Outcome { end: Err(error), ..outcome },
        };
        let mut ended = false;
        while let Some(item) = stream.next().await {
            assert!(!ended, "nothing comes after the end");
            match item {
                Ok(LlmEvent::Delta(piece)) => {
                    assert!(!piece.is_empty());
                    outcome.text.push_str(&piece);
                    outcome.pieces += 1;
                }
                Ok(LlmEvent::ToolCall(call)) => panic!("{call:?}"),
                Ok(LlmEvent::Finished { model, usage, .. }) => {
                    outcome.end = Ok((model, usage));
                    ended = true;
                }
                Err(error) => {
                    outcome.end = Err(error);
                    ended = true;
                }
            }
        }
        assert!(ended, "the stream says how it ends");
        outcome
    })
    .await
    .expect("an end in time")
}

pub async fn ask_mock(mock: &MockLlm, text: &str) -> Outcome {
    ask(&settings(&mock.base_url()), text).await
}
