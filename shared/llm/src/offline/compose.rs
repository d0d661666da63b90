//! Writes the answer: an outline of a longer text, or what the conversation already says about a short one.

use std::collections::BTreeSet;

use parlance_shared::port::llm::{PromptMessage, PromptRole};

use super::{LABEL, text};

/// From so many words on, a message is a text to outline rather than a question to answer.
const LONG_TEXT_WORDS: usize = 40;
const MAX_QUOTE_CHARS: usize = 300;
const MAX_KEY_SENTENCES: usize = 3;
const MAX_TERMS: usize = 8;
const MAX_QUESTIONS: usize = 5;
const MAX_FINDINGS: usize = 3;

/// What can be said to the last user message.
pub(super) fn answer(messages: &[PromptMessage]) -> String {
    let Some(last) = messages.iter().rposition(|message| message.role == PromptRole::User) else {
        return "There is no message to answer.\n".to_owned();
    };
    let content = messages[last].content.as_str();
    if text::count_words(content) >= LONG_TEXT_WORDS { outline(content) } else { look_back(content, &messages[..last]) }
}

fn outline(content: &str) -> String {
    let mut answer = format!(
        "An outline of your text: {}, {}, {}.\n\nKey sentences:\n",
        counted(text::count_words(content), "word"),
        counted(text::sentences(content).len(), "sentence"),
        counted(content.split("\n\n").filter(|part| !part.trim().is_empty()).count(), "paragraph"),
    );
    for sentence in text::key_sentences(content, MAX_KEY_SENTENCES) {
        push_quote(&mut answer, sentence);
    }
    let frequencies = text::frequencies(content);
    let terms: Vec<String> =
        frequencies.iter().take(MAX_TERMS).map(|(term, count)| format!("{term} ({count})")).collect();
    if !terms.is_empty() {
        answer.push_str(&format!("\nMost frequent words: {}.\n", terms.join(", ")));
    }
    let questions = questions(content);
    if !questions.is_empty() {
        answer.push_str("\nQuestions in it:\n");
        for question in questions.into_iter().take(MAX_QUESTIONS) {
            push_quote(&mut answer, question);
        }
    }
    answer
}

fn look_back(content: &str, earlier: &[PromptMessage]) -> String {
    let what = if questions(content).is_empty() { "You wrote" } else { "You ask" };
    let mut answer = format!("{what}: “{}”\n", text::shorten(content.trim(), MAX_QUOTE_CHARS));
    let terms: BTreeSet<String> = text::terms(content).collect();
    if terms.is_empty() {
        answer.push_str("\nThere is no word in it that could be looked for in what was said before.\n");
        return answer;
    }
    let findings = findings(&terms, earlier);
    let list = terms.iter().take(MAX_TERMS).cloned().collect::<Vec<_>>().join(", ");
    if findings.is_empty() {
        answer.push_str(&format!(
            "\nA model would be asked about: {list}. Nothing said before in this conversation mentions that. Send a text \
             of {LONG_TEXT_WORDS} words or more, and you get an outline of it.\n"
        ));
        return answer;
    }
    answer.push_str(&format!("\nWhat was said before about this ({list}):\n"));
    for sentence in findings {
        push_quote(&mut answer, sentence);
    }
    answer
}

/// The earlier sentences that share the most terms with the question; among equals the latest.
fn findings<'a>(terms: &BTreeSet<String>, earlier: &'a [PromptMessage]) -> Vec<&'a str> {
    let mut found: Vec<(usize, &str)> = Vec::new();
    let said = earlier.iter().filter(|message| match message.role {
        PromptRole::System | PromptRole::Tool => false,
        PromptRole::User => true,
        // What this provider said itself only repeats the user.
        PromptRole::Assistant => !message.content.starts_with(LABEL),
    });
    for sentence in said.rev().flat_map(|message| text::sentences(&message.content).into_iter().rev()) {
        let shared = text::terms(sentence).collect::<BTreeSet<_>>().intersection(terms).count();
        let is_new = found.iter().all(|(_, other)| *other != sentence);
        if shared > 0 && is_new {
            found.push((shared, sentence));
            found.sort_by_key(|(shared, _)| std::cmp::Reverse(*shared));
            found.truncate(MAX_FINDINGS);
        }
    }
    found.into_iter().map(|(_, sentence)| sentence).collect()
}

fn questions(content: &str) -> Vec<&str> {
    text::sentences(content).into_iter().filter(|sentence| sentence.ends_with(['?', '？'])).collect()
}

fn push_quote(answer: &mut String, sentence: &str) {
    answer.push_str("- ");
    answer.push_str(&text::shorten(sentence.trim_start_matches(['-', '*', ' ']), MAX_QUOTE_CHARS));
    answer.push('\n');
}

fn counted(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
