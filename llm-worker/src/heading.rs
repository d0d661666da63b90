//! A heading for a session, from its first exchange.

use parlance_shared::{
    port::{
        llm::{LlmError, LlmErrorKind, Prompt, PromptMessage, PromptOptions, PromptRole},
        turns::CheckpointTurn,
    },
    task::Usage,
};

use crate::{
    Worker,
    ask::{Answer, Unanswered, ask},
    excerpt::{excerpt, first_sentence, shorten},
    failure::Failure,
    templates::HEADING,
};

/// The most characters of a heading.
const MAX_CHARACTERS: usize = 80;
const MAX_WORDS: u32 = 8;
/// What the model may take to find it: one that reasons thinks in the same tokens.
const MAX_OUTPUT_TOKENS: u32 = 1_024;
/// So much of each side is shown.
const SIDE_BYTES: usize = 2 * 1024;

/// Asks the model, and gives its answer with the heading as the text. The offline provider finds none: the message's own words
/// have to do.
pub(crate) async fn find_heading(worker: &Worker, first: &CheckpointTurn) -> Result<Answer, Unanswered> {
    if worker.is_offline() {
        return Ok(from_message(first));
    }
    let prompt = prompt(worker, first)
        .map_err(|failure| Unanswered::Failed(LlmError::new(LlmErrorKind::Rejected, failure.detail)))?;
    let answer = ask(worker, prompt).await?;
    let text = clean(&answer.text).unwrap_or_else(|| own_words(first));
    Ok(Answer { text, ..answer })
}

/// The first sentence of what the user said, which no model was asked for.
pub(crate) fn from_message(first: &CheckpointTurn) -> Answer {
    Answer { text: own_words(first), model: None, usage: Usage::default() }
}

fn own_words(first: &CheckpointTurn) -> String {
    let sentence = first_sentence(&first.user, MAX_CHARACTERS);
    clean(&sentence).unwrap_or_else(|| "Conversation".to_owned())
}

fn prompt(worker: &Worker, first: &CheckpointTurn) -> Result<Prompt, Failure> {
    let system = worker.memory.templates.render(HEADING, "max_words", MAX_WORDS.into())?;
    let (user, assistant) = (excerpt(&first.user, SIDE_BYTES), excerpt(&first.assistant, SIDE_BYTES));
    let said = format!("<conversation>\nUser: {user}\nAssistant: {assistant}\n</conversation>");
    Ok(Prompt {
        messages: vec![PromptMessage::text(PromptRole::System, system), PromptMessage::text(PromptRole::User, said)],
        options: PromptOptions { max_output_tokens: Some(MAX_OUTPUT_TOKENS), ..PromptOptions::default() },
        ..Prompt::default()
    })
}

/// One line, without what models put around headings; `None` when nothing is left.
fn clean(answer: &str) -> Option<String> {
    let line = answer.lines().map(str::trim).find(|line| !line.is_empty())?;
    let line = line.trim_start_matches(['#', '*', '-', ' ']);
    let line = ["Heading:", "Title:"].iter().find_map(|label| line.strip_prefix(label)).unwrap_or(line);
    let around = |character: char| character.is_whitespace() || "\"'“”„‚‘’«»`*_".contains(character);
    let line = line.trim_matches(around);
    let line = line.strip_suffix('.').filter(|rest| !rest.ends_with('.')).unwrap_or(line);
    let heading = shorten(line, MAX_CHARACTERS);
    (!heading.is_empty()).then_some(heading)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::tests::turn;

    #[test]
    fn headings_are_one_clean_line() {
        assert_eq!(clean("\n\"Rivers of Europe.\"\nmore").as_deref(), Some("Rivers of Europe"));
        assert_eq!(clean("**Title: „Flüsse“**").as_deref(), Some("Flüsse"));
        assert_eq!(clean("# A\theading").as_deref(), Some("A heading"));
        assert_eq!(clean("Wait...").as_deref(), Some("Wait..."));
        assert_eq!(clean(" \"\" \n"), None);
        assert!(clean(&"word ".repeat(50)).is_some_and(|heading| heading.chars().count() <= MAX_CHARACTERS));
    }

    #[test]
    fn the_message_s_own_words_do() {
        assert_eq!(from_message(&turn("What is a river? I wonder.", "", 1)).text, "What is a river?");
        assert_eq!(from_message(&turn("", "hm", 1)).text, "Conversation");
    }
}
