//! The body of a chat completion. Members that are not known are ignored, as many clients send some of their own; what would
//! change the answer and is not offered is refused by name.

use parlance_shared::{
    SessionId,
    content::{Protocol, TurnInput},
    port::llm::PromptRole,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::messages::{Conversation, conversation};
use crate::{
    extract::{Field, RequestBody},
    openai::parameters::{max_tokens, parameters},
    problem::{Code, Problem},
    read_message::Asked,
    read_tools::{response_format, tool_choice, tools},
    state::ApiState,
    validate::Faults,
};

/// A request as it came.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct ChatRequest(Map<String, Value>);

impl RequestBody for ChatRequest {
    const FIELDS: &'static [Field] = &[];
}

/// A request that may be answered.
#[derive(Debug)]
pub(crate) struct Chat {
    /// What is asked.
    pub(crate) asked: Asked,
    /// In this session.
    pub(crate) session: Option<SessionId>,
    /// As it comes.
    pub(crate) stream: bool,
    /// With the usage at the end of the stream.
    pub(crate) include_usage: bool,
}

impl ChatRequest {
    /// Checks every member. `header` is what `X-Session-Id` says.
    ///
    /// # Errors
    /// All that is wrong, at once.
    pub(crate) fn read(self, state: &ApiState, header: Option<&str>) -> Result<Chat, Problem> {
        let mut faults = Faults::default();
        let mut request = self.0;
        request.retain(|_, value| !value.is_null());
        let session = session(&mut faults, request.remove("conversation"), header);
        let messages = request.remove("messages");
        let Conversation { mut history, content, parts, tool_results } =
            conversation(&mut faults, messages, state.limits.data_uri_bytes, session.is_none());
        let mut instructions = None;
        if session.is_some() {
            let system = history.into_iter().filter(|told| told.role == PromptRole::System);
            let told: Vec<String> = system.map(|told| told.content).collect();
            (history, instructions) = (Vec::new(), (!told.is_empty()).then(|| told.join("\n\n")));
        }
        let model = text(&mut faults, "model", request.remove("model"));
        faults.model(model.as_deref(), &state.allowed_models);
        let metadata = metadata(&mut faults, request.remove("metadata"));
        refuse_unoffered(&mut faults, &request);
        let stream = flag(&mut faults, "stream", request.remove("stream"));
        let stream_options = request.remove("stream_options").unwrap_or_default();
        let usage = stream_options.get("include_usage").cloned().filter(|value| !value.is_null());
        let include_usage = flag(&mut faults, "stream_options.include_usage", usage);
        let limit = max_tokens(&mut faults, "max_tokens", request.remove("max_tokens"));
        let newer = max_tokens(&mut faults, "max_completion_tokens", request.remove("max_completion_tokens"));
        let given = request.remove("tools").filter(|tools| tools.as_array().is_none_or(|tools| !tools.is_empty()));
        let input = TurnInput {
            parts,
            tool_results,
            tools: tools(&mut faults, given),
            tool_choice: tool_choice(&mut faults, request.remove("tool_choice")),
            response_format: response_format(&mut faults, request.remove("response_format")),
            history,
            instructions,
            parameters: parameters(&mut faults, &mut request),
            max_output_tokens: newer.or(limit),
            protocol: Protocol::ChatCompletions,
            ..TurnInput::default()
        };
        faults.into_result()?;
        let asked = Asked { content, model, strategy: None, metadata, input, edits: None };
        Ok(Chat { asked, session, stream, include_usage })
    }
}

/// What would change the answer, and nobody here gives.
fn refuse_unoffered(faults: &mut Faults, request: &Map<String, Value>) {
    let is_text_alone = |value: &Value| value.as_array().is_some_and(|all| all.iter().all(|word| word == "text"));
    for (name, detail, accepted) in [
        ("n", "must be 1: one reply is made for a message.", "1"),
        ("logprobs", "is not offered.", "false"),
        ("top_logprobs", "is not offered.", "0"),
        ("modalities", "must be text alone.", "[\"text\"]"),
        ("audio", "is not offered.", "null"),
        ("functions", "is not offered; give tools.", "null"),
        ("function_call", "is not offered; give tool_choice.", "null"),
        ("web_search_options", "is not offered.", "null"),
    ] {
        let Some(value) = request.get(name) else { continue };
        let is_fine = match name {
            "n" => value.as_u64() == Some(1),
            "logprobs" => *value == Value::Bool(false),
            "top_logprobs" => value.as_u64() == Some(0),
            "modalities" => is_text_alone(value),
            _ => false,
        };
        if !is_fine {
            faults.add(name, Code::InvalidField, detail, &[accepted]);
        }
    }
}

/// The session that the extension names: as its id, or as an object with it.
fn session(faults: &mut Faults, body: Option<Value>, header: Option<&str>) -> Option<SessionId> {
    const ACCEPTED: &[&str] = &["ses_ followed by 32 lower-case hex digits", "null"];
    let named = match &body {
        None => None,
        Some(Value::String(id)) => Some(id.as_str()),
        Some(object) => Some(object["id"].as_str().unwrap_or_default()),
    };
    if let (Some(one), Some(other)) = (named, header)
        && one != other
    {
        faults.add("conversation", Code::InvalidField, "is another one than the header X-Session-Id names.", ACCEPTED);
        return None;
    }
    let id = named.or(header)?.parse().ok();
    if id.is_none() {
        let place = if named.is_some() { "conversation" } else { "X-Session-Id" };
        faults.add(place, Code::InvalidField, "must be the id of a session of yours.", ACCEPTED);
    }
    id
}

fn metadata(faults: &mut Faults, value: Option<Value>) -> Option<Map<String, Value>> {
    match value? {
        Value::Object(metadata) => {
            faults.metadata(Some(&metadata));
            Some(metadata)
        }
        _ => {
            faults.add("metadata", Code::InvalidField, "must be an object.", &["an object", "null"]);
            None
        }
    }
}

fn text(faults: &mut Faults, name: &str, value: Option<Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text),
        _ => {
            faults.add(name, Code::InvalidField, "must be a string.", &["a string"]);
            None
        }
    }
}

fn flag(faults: &mut Faults, name: &str, value: Option<Value>) -> bool {
    match value {
        None => false,
        Some(Value::Bool(flag)) => flag,
        Some(_) => {
            faults.add(name, Code::InvalidField, "must be true or false.", &["true", "false", "null"]);
            false
        }
    }
}
