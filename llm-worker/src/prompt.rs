//! What the model is asked: instructions, summary, the window's turns, and the new message.

use parlance_shared::{
    event::MessageSubmitted,
    port::{
        llm::{Prompt, PromptMessage, PromptOptions, PromptRole},
        turns::Checkpoint,
    },
    task::PromptRecord,
};

use crate::{
    Worker,
    failure::Failure,
    window::{WINDOW, before_replaced, latest},
};

/// A prompt, and what it was made of.
pub(crate) struct Built {
    pub(crate) prompt: Prompt,
    pub(crate) record: PromptRecord,
}

/// Built from the checkpoint alone: nothing that persist-worker writes is read, however late it is.
///
/// # Errors
/// When the message can't be asked at all: the turn fails so, without an attempt.
pub(crate) fn build(_worker: &Worker, checkpoint: &Checkpoint, message: &MessageSubmitted) -> Result<Built, Failure> {
    let prompt = prompt(checkpoint, message);
    let record = PromptRecord {
        summary_version: checkpoint.summary.as_ref().map(|summary| summary.version),
        turns: before_replaced(&checkpoint.window, message.input.replaces.as_ref())
            .iter()
            .map(|turn| turn.task_id)
            .collect(),
        ..PromptRecord::default()
    };
    Ok(Built { prompt, record })
}

fn prompt(checkpoint: &Checkpoint, message: &MessageSubmitted) -> Prompt {
    let window = latest(before_replaced(&checkpoint.window, message.input.replaces.as_ref()), WINDOW);
    let mut messages = Vec::with_capacity(2 * window.len() + 2);
    messages.extend(system(checkpoint).map(|text| said(PromptRole::System, text)));
    for turn in window {
        messages.push(said(PromptRole::User, turn.user.clone()));
        messages.push(said(PromptRole::Assistant, turn.assistant.clone()));
    }
    messages.push(said(PromptRole::User, message.content.clone()));
    Prompt { model: message.model.clone(), messages, options: PromptOptions::default() }
}

/// One system message, as some providers take no second one.
fn system(checkpoint: &Checkpoint) -> Option<String> {
    let instructions = checkpoint.instructions.clone();
    let summary =
        checkpoint.summary.as_ref().map(|summary| format!("The conversation so far, in short:\n{}", summary.text));
    let parts: Vec<String> = [instructions, summary].into_iter().flatten().filter(|text| !text.is_empty()).collect();
    (!parts.is_empty()).then(|| parts.join("\n\n"))
}

fn said(role: PromptRole, content: String) -> PromptMessage {
    PromptMessage::text(role, content)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use parlance_shared::{
        Clock, UserId,
        event::Strategy,
        id_mint::IdMint,
        port::turns::{CheckpointTurn, Summary},
    };

    use super::*;

    fn message(content: &str) -> MessageSubmitted {
        let (mint, user_id) = (IdMint::new(&[1; 32], Clock::system()), UserId::new("alice"));
        MessageSubmitted {
            task_id: mint.mint(&user_id),
            session_id: mint.mint(&user_id),
            message_id: mint.mint(&user_id),
            reply_message_id: mint.mint(&user_id),
            user_id,
            content: content.to_owned(),
            model: Some("m1".to_owned()),
            strategy: Strategy::Enqueue,
            metadata: None,
            accepted_at: DateTime::UNIX_EPOCH,
            fingerprint: None,
            input: Default::default(),
        }
    }

    fn lines(prompt: &Prompt) -> Vec<(PromptRole, &str)> {
        prompt.messages.iter().map(|message| (message.role, message.content.as_str())).collect()
    }

    #[test]
    fn a_first_message_stands_alone() {
        let prompt = prompt(&Checkpoint::default(), &message("hello"));
        assert_eq!(prompt.model.as_deref(), Some("m1"));
        assert_eq!(lines(&prompt), [(PromptRole::User, "hello")]);
    }

    #[test]
    fn instructions_summary_window_and_message_come_in_this_order() {
        let earlier = message("");
        let checkpoint = Checkpoint {
            instructions: Some("Be brief.".to_owned()),
            summary: Some(Summary {
                version: 1,
                text: "They greeted.".to_owned(),
                through: earlier.task_id,
                turns: 1,
                tokens: 3,
                made_at: DateTime::UNIX_EPOCH,
            }),
            window: vec![CheckpointTurn {
                task_id: earlier.task_id,
                user: "one?".to_owned(),
                assistant: "one.".to_owned(),
                input: Default::default(),
                tokens: Default::default(),
                tool_calls: Default::default(),
            }],
            ..Checkpoint::default()
        };
        let prompt = prompt(&checkpoint, &message("two?"));
        assert_eq!(
            lines(&prompt),
            [
                (PromptRole::System, "Be brief.\n\nThe conversation so far, in short:\nThey greeted."),
                (PromptRole::User, "one?"),
                (PromptRole::Assistant, "one."),
                (PromptRole::User, "two?"),
            ]
        );
    }

    #[test]
    fn a_window_that_was_saved_under_wider_bounds_is_not_sent_whole() {
        let turn = |n: usize| CheckpointTurn {
            task_id: message("").task_id,
            user: n.to_string(),
            assistant: "x".repeat(10_000),
            input: Default::default(),
            tokens: Default::default(),
            tool_calls: Default::default(),
        };
        let checkpoint = Checkpoint { window: (0..40).map(turn).collect(), ..Checkpoint::default() };
        let prompt = prompt(&checkpoint, &message("now"));
        let bytes: usize = prompt.messages.iter().map(|message| message.content.len()).sum();
        assert!(bytes <= WINDOW.bytes + "now".len(), "{bytes}");
        assert_eq!(prompt.messages.last().map(|message| message.content.as_str()), Some("now"));
        assert_eq!(prompt.messages[prompt.messages.len() - 3].content, "39");
    }
}
