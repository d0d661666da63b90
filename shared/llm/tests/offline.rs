//! The offline provider: says what it is, then does something useful, the same every time.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

use futures_util::StreamExt as _;
use parlance_llm::Offline;
use parlance_shared::{
    port::llm::{Llm as _, LlmEvent, Prompt, PromptMessage, PromptRole},
    task::Usage,
};

const TIDES: &str = "Tides are the rise and fall of sea levels. They are caused by the moon, whose gravity pulls the sea \
                     towards it. My neighbour has a boat. The sun pulls the sea as well, though less than the moon. Sea \
                     and moon meet twice a day. When is the next high tide? I like my coffee strong.";

fn said(role: PromptRole, content: &str) -> PromptMessage {
    PromptMessage {
        role,
        content: content.to_owned(),
        parts: Default::default(),
        tool_call_id: Default::default(),
        tool_calls: Default::default(),
    }
}

async fn pieces(messages: Vec<PromptMessage>) -> Vec<String> {
    let mut events: Vec<LlmEvent> = Offline::new()
        .stream(Prompt { messages, ..Prompt::default() })
        .await
        .unwrap()
        .map(|item| item.unwrap())
        .collect()
        .await;
    assert_eq!(
        events.pop(),
        Some(LlmEvent::Finished {
            model: Some("offline".to_owned()),
            usage: Usage::default(),
            finish_reason: Default::default()
        })
    );
    events
        .into_iter()
        .map(|event| match event {
            LlmEvent::Delta(text) => text,
            LlmEvent::ToolCall(call) => panic!("{call:?}"),
            LlmEvent::Finished { .. } => panic!("finished twice"),
        })
        .collect()
}

async fn reply(messages: Vec<PromptMessage>) -> String {
    pieces(messages).await.concat()
}

#[tokio::test]
async fn its_first_words_say_that_no_model_is_configured_and_how_to_configure_one() {
    let first = reply(vec![said(PromptRole::User, "Hello")]).await;
    let introduction = first.split("\n\n").next().unwrap();
    assert!(introduction.starts_with("No language model is configured"));
    for name in ["LLM_BASE_URL", "LLM_API_KEY", "LLM_MODEL", "Ollama"] {
        assert!(introduction.contains(name), "{introduction}");
    }
}

#[tokio::test]
async fn it_streams_words_and_says_the_same_every_time() {
    let words = pieces(vec![said(PromptRole::User, TIDES)]).await;
    assert!(words.len() > 50);
    assert!(words.iter().all(|word| !word.is_empty() && word.split_whitespace().count() <= 1));
    assert_eq!(words, pieces(vec![said(PromptRole::User, TIDES)]).await);
}

#[tokio::test]
async fn a_longer_text_is_outlined() {
    let answer = reply(vec![said(PromptRole::User, TIDES)]).await;
    for part in [
        "57 words, 7 sentences, 1 paragraph.",
        "- They are caused by the moon, whose gravity pulls the sea towards it.\n",
        "- Sea and moon meet twice a day.\n",
        "Most frequent words: sea (4), moon (3), pulls (2)",
        "- When is the next high tide?\n",
    ] {
        assert!(answer.contains(part), "{part:?} in {answer}");
    }
    assert!(!answer.contains("coffee strong"), "{answer}");
}

#[tokio::test]
async fn a_question_is_answered_from_what_was_said_before() {
    let first = reply(vec![said(PromptRole::User, TIDES)]).await;
    let answer = reply(vec![
        said(PromptRole::System, "Speak of coffee only."),
        said(PromptRole::User, TIDES),
        said(PromptRole::Assistant, &first),
        said(PromptRole::User, "Who has a boat?"),
    ])
    .await;
    assert!(answer.contains("You ask: “Who has a boat?”"), "{answer}");
    assert!(answer.contains("- My neighbour has a boat.\n"), "{answer}");
    assert!(!answer.contains("coffee"), "{answer}");
    assert_eq!(answer.matches("boat").count(), 3, "quoted, as the term, and found once: {answer}");
}

#[tokio::test]
async fn there_is_always_an_answer() {
    let unknown = reply(vec![said(PromptRole::User, "What do otters eat?")]).await;
    assert!(unknown.contains("eat, otters") && unknown.contains("Nothing said before"), "{unknown}");
    for odd in ["?", "😀", "  a ", "12 34", "\u{0}"] {
        assert!(reply(vec![said(PromptRole::User, odd)]).await.len() > 200, "{odd:?}");
    }
    assert!(reply(vec![]).await.contains("no message"));
}

#[tokio::test]
async fn the_largest_message_is_outlined_quickly() {
    let begun = std::time::Instant::now();
    let lines: String = (0..32_768).map(|i| format!("w{i:05} x\n")).collect();
    assert!(reply(vec![said(PromptRole::User, &lines)]).await.len() < 10_000);
    let one_line = "a".repeat(256 * 1024);
    assert!(reply(vec![said(PromptRole::User, &one_line)]).await.len() < 10_000);
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
}
