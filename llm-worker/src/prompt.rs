//! What the model is asked: the one place where a prompt comes together.
//!
//! In this order, so that what changes least comes first and providers find the beginning of the last prompt in their caches:
//!
//! 1. the system instructions, from the template `default` and the session's own: the same text from turn to turn;
//! 2. the summary of what is no longer there word for word, which changes only when turns are folded. As an exchange of its
//!    own and not in the system message: that one would change with it, some providers take no second system message, and
//!    what users and models once said must not speak with the voice of instructions;
//! 3. the window's turns, oldest first;
//! 4. what the client tells of the conversation itself, if it does;
//! 5. the new message.
//!
//! **A client that brings its own words gets exactly those.** Instructions that come with a message stand in for the template
//! and the session's instructions, word for word and for this turn alone; so does a system message in the history that a
//! client tells. Such a history stands in for the summary and the window as well, unless it says that it follows them.
//!
//! All of it fits into what the model can read, less room for the reply. The instructions and the new message always go in,
//! or the turn fails and says how long the message (with its history) is and may be. Then the summary, then as many of the latest turns as fit:
//! whole turns, without a gap.

use parlance_shared::{
    content::TurnInput,
    event::MessageSubmitted,
    port::{
        llm::{Prompt, PromptOptions, PromptRole, PromptScope},
        turns::Checkpoint,
    },
    task::PromptRecord,
};
use serde_json::Value;

use crate::{
    Worker,
    branch::{Base, base},
    failure::Failure,
    memory::{Memory, Room},
    said::Said,
    templates::{DEFAULT, NONE, RECAP, Template},
    tokens::FRAME,
    window::fitting,
};

/// What the model is taken to have said to the summary.
const RECAPPED: &str = "Understood.";

/// A prompt, and what it was made of.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) prompt: Prompt,
    pub(crate) record: PromptRecord,
}

/// Built from the checkpoint alone, for the model that will be asked: nothing that persist-worker writes is read, however late
/// it is.
///
/// # Errors
/// When the message can't be asked at all: the turn fails so, without an attempt.
pub(crate) fn build(
    worker: &Worker,
    checkpoint: &Checkpoint,
    message: &MessageSubmitted,
    model: &str,
) -> Result<Built, Failure> {
    compose(&worker.memory, &worker.memory.room(model), checkpoint, message)
}

fn compose(
    memory: &Memory,
    room: &Room,
    checkpoint: &Checkpoint,
    message: &MessageSubmitted,
) -> Result<Built, Failure> {
    let Room { prompt: most, counter } = *room;
    let input = &message.input;
    let (template, system) = system(memory, checkpoint, input)?;
    let system_tokens = if system.is_empty() { 0 } else { FRAME + counter.text(&system) };
    let passed_on = options(input);
    let around = FRAME + system_tokens + options_texts(&passed_on).map(|text| counter.text(&text)).sum::<u64>();
    let asked = counter.user_side(&message.content, input);
    let mut tokens = around + asked;
    if tokens > most {
        let (limit, has_history) = (most.saturating_sub(around), !input.history.is_empty());
        return Err(Failure::message_too_long(asked, limit, counter.is_estimate(), has_history));
    }

    let mut said = Said::default();
    if !system.is_empty() {
        said.system(system);
    }
    let remembered = match input.tells_all() {
        true => Base { summary: None, turns: &[] },
        false => base(checkpoint, input.replaces.as_ref()),
    };
    let Base { summary, turns } = remembered;
    let mut summary_version = None;
    if let Some(summary) = summary {
        let recap = memory.templates.render(RECAP, "summary", summary.text.as_str().into())?;
        let recap_tokens = 2 * FRAME + counter.text(&recap) + counter.text(RECAPPED);
        if tokens + recap_tokens <= most {
            tokens += recap_tokens;
            summary_version = Some(summary.version);
            said.user(&recap, &TurnInput::default());
            said.assistant(RECAPPED, &[]);
        }
    }
    let turns = &turns[turns.len() - fitting(turns, most - tokens, counter)..];
    for turn in turns {
        tokens += counter.turn(turn);
        said.history(&turn.input.history);
        said.user(&turn.user, &turn.input);
        said.assistant(&turn.assistant, &turn.tool_calls);
    }
    said.history(&input.history);
    said.user(&message.content, input);

    let record = PromptRecord {
        template: template.name.to_owned(),
        version: template.version.to_owned(),
        summary_version,
        turns: turns.iter().map(|turn| turn.task_id).collect(),
        tokens,
    };
    // Whoever wants a reply anew is not given the one that they had.
    let scope = input.replaces.is_none().then(|| PromptScope {
        user: message.user_id.clone(),
        template: record.template.clone(),
        version: record.version.clone(),
    });
    let messages = said.into_messages();
    Ok(Built { prompt: Prompt { model: message.model.clone(), messages, options: passed_on, scope }, record })
}

/// What the model is told before anything else, and the template that it is from.
fn system(memory: &Memory, checkpoint: &Checkpoint, input: &TurnInput) -> Result<(Template, String), Failure> {
    if let Some(theirs) = &input.instructions {
        return Ok((NONE, theirs.clone()));
    }
    if input.history.iter().any(|message| message.role == PromptRole::System) {
        return Ok((NONE, String::new()));
    }
    let instructions = checkpoint.instructions.as_deref().unwrap_or_default();
    Ok((DEFAULT, memory.templates.render(DEFAULT, "instructions", instructions.into())?))
}

fn options(input: &TurnInput) -> PromptOptions {
    PromptOptions {
        tools: input.tools.clone(),
        tool_choice: input.tool_choice.clone(),
        response_format: input.response_format.clone(),
        max_output_tokens: input.max_output_tokens,
        parameters: input.parameters.clone(),
    }
}

/// Providers show these to the model as text.
fn options_texts(options: &PromptOptions) -> impl Iterator<Item = String> {
    [&options.tools, &options.response_format].into_iter().flatten().map(Value::to_string)
}

#[cfg(test)]
mod tests;
