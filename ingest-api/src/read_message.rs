//! What a client asks of a message: the body's fields, checked and in their own types. All faults are told at once.

use parlance_shared::{
    MessageId,
    content::{ContentPart, ToolResult, TurnInput},
    event::Strategy,
    session::Metadata,
};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    extract::{Field, RequestBody},
    problem::Problem,
    read_parts::parts,
    read_tools::{response_format, tool_choice, tool_results, tools},
    state::ApiState,
    validate::Faults,
};

/// The body of a message. Fields of several shapes are read by hand, so that each fault can be told by its place.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PostMessage {
    /// The text: not blank, at most 262144 bytes of UTF-8, without the character U+0000. Or parts: text and images. May be absent
    /// or empty beside tool_results.
    #[schema(value_type = Option<Object>)]
    content: Option<Value>,
    /// Any name that the provider takes, unless the server lists what it allows.
    model: Option<String>,
    /// What happens while a reply runs in the session. `enqueue`: the message waits its turn. `interrupt`: what runs or waits is
    /// cancelled, what was said by then is kept. `reject`: the message is refused with 409. Absent: the session's own, or enqueue.
    #[schema(value_type = Option<Strategy>)]
    strategy: Option<String>,
    /// Data of your own, at most 16384 bytes as JSON, without the character U+0000.
    #[schema(value_type = Option<parlance_shared::openapi::Metadata>)]
    metadata: Option<Metadata>,
    /// Results of the tools that the reply before called; at most 262144 bytes of content.
    #[schema(value_type = Option<Vec<ToolResult>>)]
    tool_results: Option<Value>,
    /// Tools that the model may call, as the provider takes them; at most 65536 bytes as JSON. The server runs none.
    #[schema(value_type = Option<Vec<Object>>)]
    tools: Option<Value>,
    /// Which of them it must or may call: a word such as `auto`, or an object; at most 65536 bytes as JSON.
    #[schema(value_type = Option<Object>)]
    tool_choice: Option<Value>,
    /// The form of the reply, such as a JSON schema; passed to the provider. At most 65536 bytes as JSON.
    #[schema(value_type = Option<Object>)]
    response_format: Option<Value>,
    /// A message of yours in this session that this one stands in for, with all that followed.
    #[schema(value_type = Option<MessageId>)]
    edits: Option<String>,
    /// Who is told when the task has ended: an https URL of at most 2048 bytes. It is sent `{type, timestamp, data}`, signed by the
    /// scheme of Standard Webhooks; `data` is the task. Absent: the address of the key that the call is made with, if it has one.
    webhook_url: Option<String>,
}

impl RequestBody for PostMessage {
    const FIELDS: &'static [Field] = &[
        ("content", "a string, or an array of parts"),
        ("model", "a string, or null"),
        ("strategy", "one of \"enqueue\", \"interrupt\", \"reject\", or null"),
        ("metadata", "an object, or null"),
        ("tool_results", "an array of objects, or null"),
        ("tools", "an array of objects, or null"),
        ("tool_choice", "a string or an object, or null"),
        ("response_format", "an object, or null"),
        ("edits", "the id of a message, or null"),
        ("webhook_url", "an https URL, or null"),
    ];
}

/// A message that may be asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// Its text.
    pub(crate) content: String,
    /// The model asked for.
    pub(crate) model: Option<String>,
    /// What to do while a reply runs; none for the session's own.
    pub(crate) strategy: Option<Strategy>,
    /// The client's own data.
    pub(crate) metadata: Option<Metadata>,
    /// What it asks beyond its text.
    pub(crate) input: TurnInput,
    /// The message that it stands in for, with all that followed.
    pub(crate) edits: Option<MessageId>,
}

impl PostMessage {
    /// Checks every field.
    pub(crate) fn read(self, state: &ApiState) -> Result<Asked, Problem> {
        let mut faults = Faults::default();
        let tool_results = tool_results(&mut faults, self.tool_results.as_ref());
        let (content, parts) = match &self.content {
            // A result of a tool needs no word of the user's.
            None if !tool_results.is_empty() => (String::new(), Vec::new()),
            Some(Value::String(text)) if text.is_empty() && !tool_results.is_empty() => (String::new(), Vec::new()),
            Some(Value::Array(items)) => parts(&mut faults, items, state.limits.data_uri_bytes),
            Some(Value::String(text)) => {
                faults.content(Some(text));
                (text.clone(), Vec::new())
            }
            None => {
                faults.content(None);
                Default::default()
            }
            Some(_) => {
                faults.content_shape();
                Default::default()
            }
        };
        faults.model(self.model.as_deref(), &state.allowed_models);
        let strategy = faults.strategy(self.strategy.as_deref());
        faults.metadata(self.metadata.as_ref());
        let input = TurnInput {
            parts: if parts.iter().any(is_more_than_text) { parts } else { Vec::new() },
            tool_results,
            tools: tools(&mut faults, self.tools),
            tool_choice: tool_choice(&mut faults, self.tool_choice),
            response_format: response_format(&mut faults, self.response_format),
            webhook: state.webhooks.read(&mut faults, self.webhook_url.as_deref()),
            ..TurnInput::default()
        };
        let edits = faults.edits(self.edits.as_deref());
        faults.into_result()?;
        Ok(Asked { content, model: self.model, strategy, metadata: self.metadata, input, edits })
    }
}

fn is_more_than_text(part: &ContentPart) -> bool {
    !matches!(part, ContentPart::Text { .. })
}
