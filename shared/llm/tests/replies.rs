//! Replies that go well.

mod common;

use common::{KEY, ask, ask_mock, mock, settings};
use parlance_llm::choose;
use parlance_mock_llm::{
    Behaviour, Fault, MockLlm, Raw, Script, expected_big_reply, expected_counted_reply, expected_reply,
};
use parlance_shared::port::llm::{Prompt, PromptMessage, PromptRole};

#[tokio::test]
async fn a_reply_comes_token_by_token_with_model_and_usage() {
    let mock = MockLlm::start(Script::always(Behaviour::tokens(100)).with_key(KEY)).unwrap();
    let outcome = ask_mock(&mock, "hello there").await;
    assert_eq!(outcome.text, expected_reply("hello there", 100));
    assert_eq!(outcome.pieces, 100);
    let (model, usage) = outcome.end.unwrap();
    assert_eq!(model.as_deref(), Some("default-model"));
    assert_eq!((usage.input_tokens, usage.output_tokens, usage.cached_tokens), (Some(2), Some(100), Some(0)));
}

#[tokio::test]
async fn the_prompt_is_sent_whole_with_the_model_that_was_asked_for() {
    let mock = mock(Behaviour { echo_count: true, ..Behaviour::tokens(5) });
    let llm = choose(&settings(&mock.base_url())).await.unwrap();
    let roles = [PromptRole::System, PromptRole::User, PromptRole::Assistant, PromptRole::User];
    let messages: Vec<PromptMessage> = roles
        .into_iter()
        .enumerate()
        .map(|(i, role)| PromptMessage {
            role,
            content: format!("\"line {i}\"\n"),
            parts: Default::default(),
            tool_call_id: Default::default(),
            tool_calls: Default::default(),
        })
        .collect();
    let stream = llm.stream(Prompt { model: Some("other".to_owned()), messages, ..Prompt::default() }).await.unwrap();
    drop(stream);
    let record = &mock.requests()[0];
    assert_eq!(record.model.as_deref(), Some("other"));
    let sent: Vec<(&str, &str)> = record.messages.iter().map(|m| (m.role.as_str(), m.content.as_str())).collect();
    assert_eq!(
        sent,
        [("system", "\"line 0\"\n"), ("user", "\"line 1\"\n"), ("assistant", "\"line 2\"\n"), ("user", "\"line 3\"\n")]
    );
    let counted = ask_mock(&mock, "x").await;
    assert_eq!(counted.text, expected_counted_reply("x", 1, 5));
}

#[tokio::test]
async fn ten_thousand_tokens_arrive() {
    let mock = mock(Behaviour::tokens(10_000));
    let outcome = ask_mock(&mock, "long").await;
    assert_eq!((outcome.pieces, outcome.text), (10_000, expected_reply("long", 10_000)));
    assert_eq!(outcome.end.unwrap().1.output_tokens, Some(10_000));
}

#[tokio::test]
async fn a_reply_of_a_mebibyte_arrives() {
    let mock = mock(Behaviour::fault(Fault::Big));
    let outcome = ask_mock(&mock, "big").await;
    assert!(outcome.end.is_ok());
    assert!(outcome.text == expected_big_reply(), "{} bytes", outcome.text.len());
}

#[tokio::test]
async fn bytes_may_be_cut_anywhere() {
    let body = "data: {\"choices\":[{\"delta\":{\"content\":\"日本 🙂 über\"}}]}\r\n\r\n: c\n\ndata:[DONE]\n\n";
    let frames: Vec<Vec<u8>> = body.bytes().map(|byte| vec![byte]).collect();
    let mock = mock(Raw::events(frames));
    let outcome = ask_mock(&mock, "x").await;
    assert!(outcome.end.is_ok(), "{outcome:?}");
    assert_eq!(outcome.text, "日本 🙂 über");
}

#[tokio::test]
async fn a_missing_content_type_is_no_obstacle() {
    let raw = Raw {
        headers: vec![],
        ..Raw::events(["data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\ndata: [DONE]\n\n"])
    };
    let mock = mock(raw);
    let outcome = ask_mock(&mock, "x").await;
    assert!(outcome.end.is_ok(), "{outcome:?}");
    assert_eq!(outcome.text, "hi");
}

#[tokio::test]
async fn a_base_url_may_end_in_a_slash_and_needs_no_key() {
    let mock = mock(Behaviour::tokens(3));
    let mut settings = settings(&format!("{}/", mock.base_url()));
    settings.api_key = None;
    assert_eq!(ask(&settings, "x").await.text, expected_reply("x", 3));
}
