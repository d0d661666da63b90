//! The sides of turns as messages of a prompt, in an order that providers accept: each call of a tool is answered right after
//! the message that makes it.

use parlance_shared::{
    content::{ToolCall, TurnInput},
    port::llm::{PromptMessage, PromptRole},
};

/// For a call that the client never answered.
const NO_RESULT: &str = "No result was given.";

/// A prompt's messages as they come together.
#[derive(Default)]
pub(crate) struct Said {
    messages: Vec<PromptMessage>,
    /// Calls that the next message must answer.
    open: Vec<ToolCall>,
}

impl Said {
    pub(crate) fn system(&mut self, text: String) {
        self.messages.push(PromptMessage::text(PromptRole::System, text));
    }

    /// What the user said, after the results of what the model had called. A result whose call is not in the prompt, because
    /// that turn was dropped, is told as text.
    pub(crate) fn user(&mut self, content: &str, input: &TurnInput) {
        let open = std::mem::take(&mut self.open);
        for call in &open {
            let result = input.tool_results.iter().find(|result| result.tool_call_id == call.id);
            let content = result.map_or(NO_RESULT, |result| &result.content);
            let message = PromptMessage::text(PromptRole::Tool, content);
            self.messages.push(PromptMessage { tool_call_id: Some(call.id.clone()), ..message });
        }
        for stray in &input.tool_results {
            if !open.iter().any(|call| call.id == stray.tool_call_id) {
                let text = format!("Result of the tool call {}:\n{}", stray.tool_call_id, stray.content);
                self.messages.push(PromptMessage::text(PromptRole::User, text));
            }
        }
        if !content.is_empty() || !input.parts.is_empty() || input.tool_results.is_empty() {
            let message = PromptMessage::text(PromptRole::User, content);
            self.messages.push(PromptMessage { parts: input.parts.clone(), ..message });
        }
    }

    /// What the model said and called.
    pub(crate) fn assistant(&mut self, content: &str, calls: &[ToolCall]) {
        self.open = calls.to_vec();
        let message = PromptMessage::text(PromptRole::Assistant, content);
        self.messages.push(PromptMessage { tool_calls: calls.to_vec(), ..message });
    }

    pub(crate) fn into_messages(self) -> Vec<PromptMessage> {
        self.messages
    }
}

#[cfg(test)]
mod tests {
    use parlance_shared::content::{ContentPart, ToolResult};

    use super::*;

    fn call(id: &str) -> ToolCall {
        ToolCall { id: id.to_owned(), name: "weather".to_owned(), arguments: "{}".to_owned() }
    }

    fn results(ids: &[&str]) -> TurnInput {
        let result = |id: &&str| ToolResult { tool_call_id: (*id).to_owned(), content: format!("of {id}") };
        TurnInput { tool_results: ids.iter().map(result).collect(), ..TurnInput::default() }
    }

    fn lines(said: Said) -> Vec<(PromptRole, String)> {
        said.into_messages().into_iter().map(|message| (message.role, message.content)).collect()
    }

    #[test]
    fn every_call_is_answered_once_and_at_once() {
        let mut said = Said::default();
        said.user("How is the weather?", &TurnInput::default());
        said.assistant("", &[call("a"), call("b")]);
        said.user("", &results(&["b", "z"]));
        let messages = said.into_messages();
        assert_eq!(messages[1].tool_calls.len(), 2);
        let answered: Vec<_> =
            messages[2..].iter().map(|message| (message.tool_call_id.as_deref(), message.content.as_str())).collect();
        assert_eq!(answered, [(Some("a"), NO_RESULT), (Some("b"), "of b"), (None, "Result of the tool call z:\nof z")]);
    }

    #[test]
    fn a_message_without_text_is_still_a_message_unless_it_only_brings_results() {
        let mut said = Said::default();
        said.user("", &TurnInput::default());
        said.assistant("hi", &[call("a")]);
        said.user("and now?", &results(&["a"]));
        let wanted = [
            (PromptRole::User, ""),
            (PromptRole::Assistant, "hi"),
            (PromptRole::Tool, "of a"),
            (PromptRole::User, "and now?"),
        ];
        assert_eq!(lines(said), wanted.map(|(role, text)| (role, text.to_owned())));
    }

    #[test]
    fn parts_go_along_with_their_text() {
        let part = ContentPart::Text { text: "look".to_owned() };
        let mut said = Said::default();
        said.user("look", &TurnInput { parts: vec![part.clone()], ..TurnInput::default() });
        let messages = said.into_messages();
        assert_eq!((messages[0].content.as_str(), messages[0].parts.as_slice()), ("look", &[part][..]));
    }
}
