//! What makes two requests the same: everything that is sent, where to, for whom, and under which version of the template.

use parlance_shared::port::llm::{Prompt, PromptMessage, PromptOptions, PromptScope, ProviderInfo};
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// Two requests with the same key are the same, as far as SHA-256 goes.
pub(super) type Key = [u8; 32];

#[derive(Serialize)]
struct Sent<'a> {
    to: &'a ProviderInfo,
    scope: &'a PromptScope,
    model: &'a str,
    messages: &'a [PromptMessage],
    tools: &'a Option<Value>,
    tool_choice: &'a Option<Value>,
    response_format: &'a Option<Value>,
    max_output_tokens: &'a Option<u32>,
    parameters: &'a Map<String, Value>,
}

/// The key of a request; none when its reply must not be used again.
pub(super) fn key_of(to: &ProviderInfo, prompt: &Prompt) -> Option<Key> {
    // Named one by one, so that nothing that is ever added is left out.
    let Prompt { model, messages, options, scope } = prompt;
    let PromptOptions { tools, tool_choice, response_format, max_output_tokens, parameters } = options;
    let model = model.as_deref().unwrap_or(&to.model);
    let scope = scope.as_ref()?;
    let sent = Sent { to, scope, model, messages, tools, tool_choice, response_format, max_output_tokens, parameters };
    Some(Sha256::digest(serde_json::to_vec(&sent).ok()?).into())
}

#[cfg(test)]
mod tests {
    use parlance_shared::{UserId, port::llm::PromptRole};

    use super::*;

    fn scope(user: &str, version: &str) -> Option<PromptScope> {
        Some(PromptScope { user: UserId::new(user), template: "default".to_owned(), version: version.to_owned() })
    }

    #[test]
    fn anything_that_differs_is_another_request() {
        let to = ProviderInfo { provider: "p".to_owned(), model: "m".to_owned(), base_url: None };
        let said = |text: &str| vec![PromptMessage::text(PromptRole::User, text)];
        let options = |tools: Value| PromptOptions { tools: Some(tools), ..PromptOptions::default() };
        let prompt = Prompt { messages: said("hi"), scope: scope("alice", "1"), ..Prompt::default() };
        let key = key_of(&to, &prompt).unwrap();
        assert_eq!(key_of(&to, &Prompt { model: Some("m".to_owned()), ..prompt.clone() }), Some(key));
        let others = [
            Prompt { model: Some("n".to_owned()), ..prompt.clone() },
            Prompt { messages: said("hi "), ..prompt.clone() },
            Prompt { messages: vec![PromptMessage::text(PromptRole::System, "hi")], ..prompt.clone() },
            Prompt { options: options(serde_json::json!([])), ..prompt.clone() },
            Prompt { options: PromptOptions { max_output_tokens: Some(1), ..Default::default() }, ..prompt.clone() },
            Prompt { scope: scope("bob", "1"), ..prompt.clone() },
            Prompt { scope: scope("alice", "2"), ..prompt.clone() },
        ];
        let mut keys: Vec<_> = others.iter().map(|other| key_of(&to, other).unwrap()).collect();
        keys.push(key);
        keys.push(key_of(&ProviderInfo { base_url: Some("http://h".to_owned()), ..to.clone() }, &prompt).unwrap());
        let all = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), all);
        assert_eq!(key_of(&to, &Prompt { scope: None, ..prompt }), None);
    }
}
