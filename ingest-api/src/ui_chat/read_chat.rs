//! The body that `DefaultChatTransport` sends. Of the messages only the last one is read: what was said before is known here.

use parlance_shared::content::{Protocol, TurnInput};
use serde::Deserialize;
use serde_json::Value;

use super::{
    chat_id::{ChatId, MAX_NAME_BYTES, is_name},
    echo::Echo,
    read_said::{Said, said},
};
use crate::{
    extract::{Field, RequestBody},
    problem::{Code, Problem},
    read_message::Asked,
    read_tools::{response_format, tool_choice, tools},
    state::ApiState,
    validate::Faults,
};

const TRIGGERS: &[&str] = &["submit-message", "regenerate-message"];
const NAME: &str = "a string of 1 to 255 bytes without control characters";

/// Fields that are not known are the page's own and of no meaning here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChatRequest {
    id: Option<String>,
    messages: Option<Vec<Value>>,
    trigger: Option<String>,
    message_id: Option<String>,
    model: Option<String>,
    strategy: Option<String>,
    metadata: Option<serde_json::Map<String, Value>>,
    tools: Option<Value>,
    #[serde(alias = "tool_choice")]
    tool_choice: Option<Value>,
    #[serde(alias = "response_format")]
    response_format: Option<Value>,
}

impl RequestBody for ChatRequest {
    const FIELDS: &'static [Field] = &[
        ("id", NAME),
        ("messages", "an array of UI messages"),
        ("trigger", "submit-message or regenerate-message"),
        ("messageId", "the id of a message, or null"),
        ("model", "a string, or null"),
        ("strategy", "one of \"enqueue\", \"interrupt\", \"reject\", or null"),
        ("metadata", "an object, or null"),
        ("tools", "an array of objects, or null"),
        ("toolChoice", "a string or an object, or null"),
        ("responseFormat", "an object, or null"),
    ];
}

/// What is wanted of a chat.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) chat: ChatId,
    /// The client's name for the message that is answered, or for the reply that goes on.
    pub(super) message: String,
    pub(super) how: How,
    pub(super) asked: Asked,
}

/// Whether the message was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    New,
    /// Another reply to the same message.
    Regenerate,
    /// The message with other words.
    Edit,
}

impl ChatRequest {
    pub(super) fn read(self, state: &ApiState) -> Result<Wanted, Problem> {
        let mut faults = Faults::default();
        let chat = self.id.as_deref().and_then(ChatId::new);
        if chat.is_none() {
            name_fault(&mut faults, "id", self.id.is_none());
        }
        let regenerates = match self.trigger.as_deref() {
            None | Some("submit-message") => false,
            Some("regenerate-message") => true,
            Some(_) => {
                faults.add("trigger", Code::InvalidField, "must be one that is known.", TRIGGERS);
                false
            }
        };
        let messages = self.messages.unwrap_or_default();
        let Some((last, n)) = messages.last().zip(messages.len().checked_sub(1)) else {
            let detail = "must end with the message that is to be answered.";
            faults.add("messages", Code::MissingField, detail, &["an array of UI messages"]);
            faults.into_result()?;
            return Err(Problem::internal("a fault without a problem"));
        };
        let place = format!("messages[{n}]");
        let message = last.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        if !is_name(&message) {
            name_fault(&mut faults, &format!("{place}.id"), message.is_empty());
        }
        let mut its_faults = Faults::default();
        let Said { content, parts, tool_results, continues } = said(&mut its_faults, last, state.limits.data_uri_bytes);
        faults.nest(&place, its_faults);
        if continues && regenerates {
            let detail = "must be the user's message whose reply is wanted anew.";
            faults.add(&place, Code::InvalidField, detail, &["a message with the role user"]);
        }
        faults.model(self.model.as_deref(), &state.allowed_models);
        faults.metadata(self.metadata.as_ref());
        let strategy = faults.strategy(self.strategy.as_deref());
        let echo = if continues { Echo::Continues(message.clone()) } else { Echo::Answers(message.clone()) };
        let input = TurnInput {
            parts,
            tool_results,
            tools: tools(&mut faults, self.tools),
            tool_choice: tool_choice(&mut faults, self.tool_choice),
            response_format: response_format(&mut faults, self.response_format),
            protocol: Protocol::UiChat,
            echo: Some(echo.to_value()),
            ..TurnInput::default()
        };
        faults.into_result()?;
        let how = match self.message_id {
            _ if regenerates => How::Regenerate,
            Some(id) if !continues && id == message => How::Edit,
            _ => How::New,
        };
        let asked = Asked { content, model: self.model, strategy, metadata: self.metadata, input, edits: None };
        let chat = chat.ok_or_else(|| Problem::internal("a fault without a problem"))?;
        Ok(Wanted { chat, message, how, asked })
    }
}

fn name_fault(faults: &mut Faults, field: &str, is_missing: bool) {
    let code = if is_missing { Code::MissingField } else { Code::InvalidField };
    faults.add(field, code, format!("must be a name of at most {MAX_NAME_BYTES} bytes."), &[NAME]);
}
