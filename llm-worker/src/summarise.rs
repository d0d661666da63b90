//! Has the model fold turns into the summary.

use parlance_shared::port::{
    llm::{LlmError, LlmErrorKind, Prompt, PromptMessage, PromptOptions, PromptRole},
    turns::{CheckpointTurn, Summary},
};

use crate::{
    Worker,
    ask::{Answer, Unanswered, ask},
    excerpt::{excerpt, first_sentence},
    failure::Failure,
    memory::Room,
    templates::SUMMARY,
    tokens::FRAME,
};

/// The most words of a summary, and what the model may take to write it: one that reasons thinks in the same tokens.
const MAX_WORDS: u32 = 400;
const MAX_OUTPUT_TOKENS: u32 = 4_096;

/// A summary that is longer all the same is cut to this, at its end.
const MAX_BYTES: usize = 8 * 1024;

/// A side of a turn that is longer than this is shown by its beginning and end.
const MAX_SIDE_BYTES: usize = 16 * 1024;

/// What the offline provider's bullet points take together.
const OFFLINE_BYTES: usize = 2 * 1024;

/// How many of the turns, oldest first, fit into one request beside the summary so far; at least one.
pub(crate) fn fitting_request(room: &Room, before: Option<&Summary>, turns: &[CheckpointTurn]) -> usize {
    let around = u64::from(MAX_WORDS) + 10 * FRAME + before.map_or(0, |summary| room.counter.text(&summary.text));
    let mut left = room.prompt.saturating_sub(around);
    let fits = |turn: &&CheckpointTurn| {
        let taken = room.counter.text(&transcript_of(turn));
        let fits = taken <= left;
        left = left.saturating_sub(taken);
        fits
    };
    turns.iter().take_while(fits).count().max(1).min(turns.len())
}

/// Asks for the summary that stands in for the one before and these turns.
pub(crate) async fn summarise(
    worker: &Worker,
    before: Option<&Summary>,
    turns: &[CheckpointTurn],
) -> Result<Answer, Unanswered> {
    if worker.is_offline() {
        return Ok(offline(before, turns));
    }
    let prompt = prompt(worker, before, turns)
        .map_err(|failure| Unanswered::Failed(LlmError::new(LlmErrorKind::Rejected, failure.detail)))?;
    let mut answer = ask(worker, prompt).await?;
    answer.text.truncate(answer.text.floor_char_boundary(MAX_BYTES));
    Ok(answer)
}

fn prompt(worker: &Worker, before: Option<&Summary>, turns: &[CheckpointTurn]) -> Result<Prompt, Failure> {
    let system = worker.memory.templates.render(SUMMARY, "max_words", MAX_WORDS.into())?;
    let before = before.map_or_else(String::new, |summary| format!("<summary>\n{}\n</summary>\n", summary.text));
    let transcript: String = turns.iter().map(transcript_of).collect();
    let said = format!("{before}<conversation>\n{transcript}</conversation>");
    Ok(Prompt {
        messages: vec![PromptMessage::text(PromptRole::System, system), PromptMessage::text(PromptRole::User, said)],
        options: PromptOptions { max_output_tokens: Some(MAX_OUTPUT_TOKENS), ..PromptOptions::default() },
        ..Prompt::default()
    })
}

/// A turn as the summariser is shown it.
fn transcript_of(turn: &CheckpointTurn) -> String {
    let mut lines = String::new();
    let mut line = |who: &str, text: &str| {
        if !text.is_empty() {
            lines.push_str(&format!("{who}: {}\n", excerpt(text, MAX_SIDE_BYTES)));
        }
    };
    for told in &turn.input.history {
        let who = match told.role {
            PromptRole::System => "System",
            PromptRole::User => "User",
            PromptRole::Assistant => "Assistant",
            PromptRole::Tool => "Tool",
        };
        line(who, &told.content);
        for call in &told.tool_calls {
            line("Assistant calls", &format!("{} {}", call.name, call.arguments));
        }
    }
    for result in &turn.input.tool_results {
        line("Tool", &result.content);
    }
    line("User", &turn.user);
    line("Assistant", &turn.assistant);
    for call in &turn.tool_calls {
        line("Assistant calls", &format!("{} {}", call.name, call.arguments));
    }
    lines
}

/// Without a model: what the user began each turn with, the latest of it.
fn offline(before: Option<&Summary>, turns: &[CheckpointTurn]) -> Answer {
    let earlier = before.into_iter().flat_map(|summary| summary.text.lines()).map(str::to_owned);
    let said = turns.iter().flat_map(|turn| {
        let history = turn.input.history.iter().filter(|told| told.role == PromptRole::User);
        history.map(|told| told.content.as_str()).chain([turn.user.as_str()])
    });
    let said = said.map(|text| format!("- The user: {}", first_sentence(text, 160)));
    let points: Vec<String> = earlier.chain(said).collect();
    let mut bytes = 0;
    let latest = points.iter().rev().take_while(|point| {
        bytes += point.len() + 1;
        bytes <= OFFLINE_BYTES
    });
    let kept = latest.count();
    Answer {
        text: points[points.len() - kept..].join("\n"),
        model: Some("offline".to_owned()),
        usage: Default::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{tokens::Counter, window::tests::turn};

    #[test]
    fn a_request_holds_as_many_turns_as_the_model_can_read_and_at_least_one() {
        let turns: Vec<_> = (0..10).map(|n| turn(&n.to_string(), &"word ".repeat(600), 1_010)).collect();
        let room = |prompt| Room { prompt, counter: Counter::Estimate };
        assert_eq!(fitting_request(&room(5_000), None, &turns), 4);
        assert_eq!(fitting_request(&room(500), None, &turns), 1);
        assert_eq!(fitting_request(&room(100_000), None, &turns), 10);
        assert_eq!(fitting_request(&room(100_000), None, &[]), 0);
    }

    #[test]
    fn without_a_model_the_latest_points_are_kept() {
        let turns: Vec<_> = (0..100).map(|n| turn(&format!("Point {n}. More."), "yes", 5)).collect();
        let first = offline(None, &turns).text;
        assert!(first.ends_with("- The user: Point 99.") && first.len() <= OFFLINE_BYTES, "{first}");
        assert!(!first.contains("Point 1."));
    }
}
