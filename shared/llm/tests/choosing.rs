//! Which provider a process uses.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod common;

use std::time::Duration;

use common::{KEY, prompt, settings};
use futures_util::StreamExt as _;
use parlance_llm::{ChooseError, choose_with};
use parlance_mock_llm::{Behaviour, MockLlm, Raw, Script, expected_reply};
use parlance_shared::{
    port::llm::{Llm, LlmEvent},
    settings::{LlmSettings, Secret},
};
use tokio::time::Instant;

const NOBODY: &str = "http://127.0.0.1:1/v1";

fn unconfigured() -> LlmSettings {
    LlmSettings { base_url: None, api_key: None, model: None, ..settings(NOBODY) }
}

fn server(script: Script) -> MockLlm {
    MockLlm::start(script).unwrap()
}

async fn reply(llm: &dyn Llm, text: &str) -> String {
    let stream = llm.stream(prompt(text)).await.unwrap();
    let pieces = stream.map(|item| match item.unwrap() {
        LlmEvent::Delta(piece) => piece,
        LlmEvent::ToolCall(_) | LlmEvent::Finished { .. } => String::new(),
    });
    pieces.collect().await
}

#[tokio::test]
async fn the_configured_provider_is_taken_and_not_even_asked() {
    let local = server(Script::default());
    let llm = choose_with(&settings("https://api.example.com/v1/?key=hidden"), &local.base_url()).await.unwrap();
    let info = llm.describe();
    assert_eq!((info.provider.as_str(), info.model.as_str()), ("openai-compatible", "default-model"));
    assert_eq!(info.base_url.as_deref(), Some("https://api.example.com/v1/"));
}

#[tokio::test]
async fn a_local_server_is_taken_with_its_first_chat_model() {
    let models = ["nomic-embed-text:latest", "llama3.2:3b", "qwen3"];
    let local = server(Script::always(Behaviour::tokens(5)).with_models(&models));
    // A key that is set for whatever reason is not for it.
    let with_key = LlmSettings { api_key: Some(Secret::new(KEY)), ..unconfigured() };
    let llm = choose_with(&with_key, &local.base_url()).await.unwrap();
    let info = llm.describe();
    assert_eq!((info.provider.as_str(), info.model.as_str()), ("openai-compatible", "llama3.2:3b"));
    assert_eq!(info.base_url, Some(local.base_url()));
    assert_eq!(reply(llm.as_ref(), "hi").await, expected_reply("hi", 5));
    assert_eq!(local.requests()[0].model.as_deref(), Some("llama3.2:3b"));
}

#[tokio::test]
async fn nobody_there_means_offline() {
    let llm = choose_with(&unconfigured(), NOBODY).await.unwrap();
    let info = llm.describe();
    assert_eq!((info.provider.as_str(), info.model.as_str(), info.base_url), ("offline", "offline", None));
    let said = reply(llm.as_ref(), "hi").await;
    assert!(said.starts_with("No language model is configured"), "{said}");
}

#[tokio::test]
async fn a_local_server_without_a_chat_model_means_offline_and_says_so() {
    let empty_lists = [
        Script::default().with_models(&[]),
        Script::default().with_models(&["mxbai-embed-large"]),
        Script::default().with_models_answer(Raw::json(200, r#"{"object":"list","data":null}"#)),
    ];
    for script in empty_lists {
        let local = server(script);
        let llm = choose_with(&unconfigured(), &local.base_url()).await.unwrap();
        assert_eq!(llm.describe().provider, "offline");
        let said = reply(llm.as_ref(), "hi").await;
        assert!(said.contains("it has no model to chat with: `ollama pull"), "{said}");
    }
}

#[tokio::test]
async fn something_else_there_means_offline_soon() {
    let silent = Raw { stay_open: true, frames: vec![], ..Raw::json(200, "") };
    for answer in [
        Raw::json(404, "{}"),
        Raw::json(200, "<html>"),
        Raw::json(200, r#"["llama"]"#),
        Raw { stay_open: true, ..Raw::json(200, "{") },
        silent,
    ] {
        let local = server(Script::default().with_models_answer(answer.clone()));
        let begun = Instant::now();
        let llm = choose_with(&unconfigured(), &local.base_url()).await.unwrap();
        assert_eq!(llm.describe().provider, "offline", "{answer:?}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        assert!(!reply(llm.as_ref(), "hi").await.contains("ollama pull"));
    }
}

#[tokio::test]
async fn a_configuration_that_can_t_work_is_refused_without_showing_the_key() {
    let no_model = LlmSettings { model: None, ..settings(NOBODY) };
    assert!(matches!(choose_with(&no_model, NOBODY).await.err(), Some(ChooseError::NoModel(_))));
    let bad_key = LlmSettings { api_key: Some(Secret::new(format!("{KEY}\n"))), ..settings(NOBODY) };
    let error = choose_with(&bad_key, NOBODY).await.err().unwrap();
    assert!(matches!(error, ChooseError::KeyNotSendable));
    assert!(!format!("{error} {error:?}").contains(KEY));
}
