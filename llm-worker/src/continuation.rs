//! Going on with a reply whose provider died in the middle of it: the next provider is shown what was said and asked to go
//! on, and its words are added to the same attempt (`LLM_MIDSTREAM=continue`).
//!
//! Whether the model does as it is told is the model's affair: it may repeat a word or begin a sentence anew. What readers
//! have seen stays, and what comes is added to it unchanged.

use parlance_shared::{
    port::llm::{Prompt, PromptMessage, PromptRole},
    providers::Midstream,
};

use crate::failure::Failure;

/// A last message from the model alone would do for some providers; others begin a new reply, and some refuse it.
const GO_ON: &str = "Your last message was cut off in the middle by a technical fault. Go on exactly where it stops, even in \
                     the middle of a word: repeat nothing of it, and say nothing about the interruption.";

/// Whether a reply that said `text` before this failure can be gone on with. Not where a form was asked for, such as JSON:
/// another model would begin it anew. Calls of tools come last, so a reply that has any was not cut.
pub(crate) fn can_go_on(midstream: Midstream, failure: &Failure, has_form: bool, text: &str, has_calls: bool) -> bool {
    midstream == Midstream::Continue && failure.kind.is_some() && !has_form && !has_calls && !text.trim().is_empty()
}

/// The prompt with what was said of its answer.
pub(crate) fn go_on(mut prompt: Prompt, said: &str) -> Prompt {
    prompt.messages.push(PromptMessage::text(PromptRole::Assistant, said));
    prompt.messages.push(PromptMessage::text(PromptRole::User, GO_ON));
    // What was said counts, about.
    let said_tokens = u32::try_from(said.len() / 4).unwrap_or(u32::MAX);
    prompt.options.max_output_tokens =
        prompt.options.max_output_tokens.map(|most| most.saturating_sub(said_tokens).max(1));
    // What is said now is half a reply: no other request may be answered with it.
    prompt.scope = None;
    prompt
}

#[cfg(test)]
mod tests {
    use parlance_shared::port::llm::{LlmError, LlmErrorKind};

    use super::*;

    #[test]
    fn only_plain_text_is_gone_on_with() {
        let cut: Failure = LlmError::new(LlmErrorKind::StreamCut, "").into();
        let go = Midstream::Continue;
        assert!(can_go_on(go, &cut, false, "half", false));
        assert!(!can_go_on(Midstream::Restart, &cut, false, "half", false));
        assert!(!can_go_on(go, &cut, true, "{\"a\":", false));
        assert!(!can_go_on(go, &cut, false, " \n", false));
        assert!(!can_go_on(go, &cut, false, "half", true));
        assert!(!can_go_on(go, &Failure::panicked(), false, "half", false));
    }

    #[test]
    fn the_next_provider_sees_what_was_said() {
        let prompt = Prompt { messages: vec![PromptMessage::text(PromptRole::User, "q")], ..Prompt::default() };
        let mut limited = prompt.clone();
        limited.options.max_output_tokens = Some(50);
        assert_eq!(go_on(limited.clone(), &"word".repeat(20)).options.max_output_tokens, Some(30));
        assert_eq!(go_on(limited, &"word".repeat(90)).options.max_output_tokens, Some(1));
        let shown: Vec<_> = go_on(prompt, "half ").messages.into_iter().map(|m| (m.role, m.content)).collect();
        assert_eq!(shown[1], (PromptRole::Assistant, "half ".to_owned()));
        assert_eq!((shown.len(), shown[2].0), (3, PromptRole::User));
    }
}
