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
            self.result(&call.id, result.map_or(NO_RESULT, |result| &result.content));
        }
        for stray in &input.tool_results {
            if !open.iter().any(|call| call.id == stray.tool_call_id) {
                self.stray(&stray.tool_call_id, &stray.content);
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

    /// What was said before, as a client tells it.
    pub(crate) fn history(&mut self, messages: &[PromptMessage]) {
        for message in messages {
            let answers = message.tool_call_id.as_deref().filter(|_| message.role == PromptRole::Tool);
            let place = answers.and_then(|id| self.open.iter().position(|call| call.id == id));
            if let Some(place) = place {
                self.open.remove(place);
            } else {
                self.close();
            }
            match (message.role, place) {
                (PromptRole::Tool, None) => self.stray(answers.unwrap_or("unknown"), &message.content),
                _ => self.messages.push(message.clone()),
            }
            if message.role == PromptRole::Assistant {
                self.open.clone_from(&message.tool_calls);
            }
        }
    }

    /// Calls that nobody answered are answered.
    fn close(&mut self) {
        for call in std::mem::take(&mut self.open) {
            self.result(&call.id, NO_RESULT);
        }
    }

    fn result(&mut self, id: &str, content: &str) {
        let message = PromptMessage::text(PromptRole::Tool, content);
        self.messages.push(PromptMessage { tool_call_id: Some(id.to_owned()), ..message });
    }

    fn stray(&mut self, id: &str, content: &str) {
        let text = format!("Result of the tool call {id}:\n{content}");
        self.messages.push(PromptMessage::text(PromptRole::User, text));
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
    fn a_history_stays_as_it_was_told_and_its_calls_are_answered() {
        let text = PromptMessage::text;
        let calling = PromptMessage { tool_calls: vec![call("a"), call("b")], ..text(PromptRole::Assistant, "") };
        let result =
            |id: &'static str| PromptMessage { tool_call_id: Some(id.to_owned()), ..text(PromptRole::Tool, id) };
        let mut said = Said::default();
        said.history(&[text(PromptRole::System, "Be brief."), text(PromptRole::User, "hi")]);
        said.history(&[calling.clone(), result("b"), result("z"), text(PromptRole::User, "and?")]);
        said.history(std::slice::from_ref(&calling));
        said.user("", &results(&["b"]));
        let told: Vec<_> = said.into_messages().into_iter().map(|m| (m.role, m.content, m.tool_call_id)).collect();
        let line = |role, text: &str, id: Option<&str>| (role, text.to_owned(), id.map(str::to_owned));
        let wanted = [
            line(PromptRole::System, "Be brief.", None),
            line(PromptRole::User, "hi", None),
            line(PromptRole::Assistant, "", None),
            line(PromptRole::Tool, "b", Some("b")),
            line(PromptRole::Tool, NO_RESULT, Some("a")),
            line(PromptRole::User, "Result of the tool call z:\nz", None),
            line(PromptRole::User, "and?", None),
            line(PromptRole::Assistant, "", None),
            line(PromptRole::Tool, NO_RESULT, Some("a")),
            line(PromptRole::Tool, "of b", Some("b")),
        ];
        assert_eq!(told, wanted);
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
