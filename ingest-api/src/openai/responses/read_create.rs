//! The body of `POST /v1/responses`, member by member. What is not known is ignored, as clients send what newer servers know;
//! what would change the reply and can't be had is refused by name.

use parlance_shared::{
    SessionId, TaskId,
    content::{Protocol, TurnInput},
    session::Metadata,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    allowed_tools,
    echo::Echo,
    ids::task_of,
    items::{Input, input},
    tools,
};
use crate::{
    extract::{Field, RequestBody},
    openai::parameters::{max_tokens, parameters},
    problem::{Code, Problem},
    read_parts::string,
    state::ApiState,
    validate::{Faults, MAX_INSTRUCTIONS_BYTES},
};

/// Together, as JSON.
const MAX_ECHO_BYTES: usize = 64 * 1024;
const MAX_PAIRS: usize = 16;
const MAX_KEY_CHARS: usize = 64;
const MAX_VALUE_CHARS: usize = 512;
/// The provider knows them by the same names.
const PASSED_ON: &[&str] = &["temperature", "top_p", "user", "safety_identifier", "prompt_cache_key"];

/// The body as it came.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct CreateResponse(pub(super) Map<String, Value>);

impl RequestBody for CreateResponse {
    const FIELDS: &'static [Field] = &[];
}

/// What the response goes on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Nothing.
    New,
    /// Another response.
    Response(TaskId),
    /// A conversation, wherever it stands.
    Session(SessionId),
}

/// A request that may be asked.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) content: String,
    pub(super) model: Option<String>,
    pub(super) metadata: Option<Metadata>,
    /// Without the echo.
    pub(super) input: TurnInput,
    pub(super) echo: Echo,
    pub(super) origin: Origin,
    pub(super) stream: bool,
}

impl CreateResponse {
    /// Checks every member.
    pub(super) fn read(&self, state: &ApiState) -> Result<Asked, Problem> {
        let mut faults = Faults::default();
        let mut body = Body { members: &self.0, faults: &mut faults };
        let Input { content, parts, tool_results, history } =
            input(body.faults, body.members.get("input"), state.limits.data_uri_bytes);
        let model = body.text("model");
        body.faults.model(model.as_deref(), &state.allowed_models);
        let instructions = body.text("instructions").filter(|text| !text.is_empty());
        if instructions.as_ref().is_some_and(|text| text.len() > MAX_INSTRUCTIONS_BYTES) {
            body.refuse("instructions", "is longer than 32768 bytes.", &["a string of at most 32768 bytes"]);
        }
        let metadata = body.metadata();
        let (echo, origin) = (body.echo(), body.origin());
        let options = body.options(&echo);
        let stream = body.flag("stream").unwrap_or_default();
        body.refuse_what_is_not_there(&echo);
        let turn = TurnInput {
            parts,
            tool_results,
            // What is told is told after what the conversation holds already.
            history_follows: origin != Origin::New && !history.is_empty(),
            history,
            instructions,
            protocol: Protocol::Responses,
            ..options
        };
        faults.into_result()?;
        Ok(Asked { content, model, metadata, input: turn, echo, origin, stream })
    }
}

struct Body<'a> {
    members: &'a Map<String, Value>,
    faults: &'a mut Faults,
}

impl Body<'_> {
    /// A member that says something.
    fn get(&self, name: &str) -> Option<&Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    fn refuse(&mut self, name: &str, detail: &'static str, accepted: &[&str]) {
        self.faults.add(name, Code::InvalidField, detail, accepted);
    }

    fn text(&mut self, name: &str) -> Option<String> {
        let value = self.members.get(name).filter(|value| !value.is_null());
        value.and_then(|value| string(self.faults, name, Some(value))).map(str::to_owned)
    }

    fn flag(&mut self, name: &str) -> Option<bool> {
        let value = self.get(name)?.as_bool();
        if value.is_none() {
            self.refuse(name, "must be true or false.", &["true", "false", "null"]);
        }
        value
    }

    fn object(&mut self, name: &str) -> Option<Map<String, Value>> {
        let value = self.get(name)?.as_object().cloned();
        if value.is_none() {
            self.refuse(name, "must be an object.", &["an object", "null"]);
        }
        value
    }

    /// What the provider is given.
    fn options(&mut self, echo: &Echo) -> TurnInput {
        let text = self.object("text").unwrap_or_default();
        let given = tools::tools(self.faults, self.members.get("tools").filter(|value| !value.is_null()));
        let (given, choice) = match allowed_tools::read(self.faults, given.as_ref(), echo.tool_choice.as_ref()) {
            Some((allowed, mode)) => (allowed, mode),
            None => (given, tools::tool_choice(self.faults, echo.tool_choice.as_ref())),
        };
        let mut parameters = self.parameters();
        let mut pass =
            |name: &str, value: Option<Value>| drop(value.map(|value| parameters.insert(name.to_owned(), value)));
        let effort = echo.reasoning.as_ref().and_then(|reasoning| reasoning.get("effort"));
        pass("reasoning_effort", effort.filter(|effort| effort.is_string()).cloned());
        pass("verbosity", text.get("verbosity").filter(|word| word.is_string()).cloned());
        if given.is_some() {
            // Providers refuse it of a request without tools.
            pass("parallel_tool_calls", echo.parallel_tool_calls.map(Value::Bool));
        }
        TurnInput {
            tool_choice: choice.filter(|_| given.is_some()),
            tools: given,
            response_format: tools::response_format(self.faults, &text),
            parameters,
            max_output_tokens: max_tokens(self.faults, "max_output_tokens", self.get("max_output_tokens").cloned()),
            ..TurnInput::default()
        }
    }

    /// Those that have the same name for providers.
    fn parameters(&mut self) -> Map<String, Value> {
        let pair = |name: &&str| Some(((*name).to_owned(), self.members.get(*name)?.clone()));
        let mut given: Map<String, Value> = PASSED_ON.iter().filter_map(pair).collect();
        parameters(self.faults, &mut given)
    }

    /// As OpenAI's: a few short texts by short names.
    fn metadata(&mut self) -> Option<Metadata> {
        const ACCEPTED: &[&str] = &["an object of at most 16 pairs: keys of 64 characters, strings of 512", "null"];
        let metadata = self.object("metadata")?;
        let short = |(key, value): (&String, &Value)| {
            let value = value.as_str();
            let fits = value.is_some_and(|value| value.chars().count() <= MAX_VALUE_CHARS && !value.contains('\0'));
            fits && key.chars().count() <= MAX_KEY_CHARS && !key.contains('\0')
        };
        if metadata.len() > MAX_PAIRS || !metadata.iter().all(short) {
            self.refuse("metadata", "must be at most 16 pairs of short strings.", ACCEPTED);
        }
        Some(metadata)
    }

    fn echo(&mut self) -> Echo {
        let truncation = self.text("truncation");
        if truncation.as_ref().is_some_and(|word| word != "auto" && word != "disabled") {
            self.refuse("truncation", "must be auto or disabled.", &["auto", "disabled", "null"]);
        }
        let echo = Echo {
            previous_response_id: self.text("previous_response_id"),
            background: self.flag("background").unwrap_or_default(),
            store: self.flag("store").unwrap_or(true),
            tool_choice: self.get("tool_choice").cloned(),
            parallel_tool_calls: self.flag("parallel_tool_calls"),
            reasoning: self.object("reasoning").map(Value::Object),
            truncation,
            began: false,
            forked: 0,
        };
        let bytes = serde_json::to_vec(&echo).map_or(usize::MAX, |json| json.len());
        if bytes > MAX_ECHO_BYTES {
            self.refuse("reasoning", "is too long, together with tool_choice.", &["65536 bytes of JSON at most"]);
        }
        if echo.background && !echo.store {
            self.refuse(
                "store",
                "must not be false for a response in the background: nobody could fetch it.",
                &["true"],
            );
        }
        echo
    }

    fn origin(&mut self) -> Origin {
        const SESSION: &[&str] = &["the id of a session: ses_ followed by 32 hex digits", "an object with that id"];
        let conversation = self.get("conversation").cloned();
        let previous = self.get("previous_response_id").and_then(Value::as_str).map(str::to_owned);
        match (previous, conversation) {
            (Some(_), Some(_)) => {
                self.refuse("conversation", "can't be given together with previous_response_id.", &["one of the two"]);
                Origin::New
            }
            (None, None) => Origin::New,
            (Some(previous), None) => match task_of(&previous) {
                Some(task) => Origin::Response(task),
                None => {
                    let detail = "names no response of yours.";
                    self.faults.add("previous_response_id", Code::PreviousResponseNotFound, detail, &[]);
                    Origin::New
                }
            },
            (None, Some(conversation)) => {
                let id = conversation.as_str().or_else(|| conversation.get("id").and_then(Value::as_str));
                match (id, id.and_then(|id| id.parse().ok())) {
                    (_, Some(session)) => Origin::Session(session),
                    (Some(_), None) => {
                        self.faults.add("conversation", Code::SessionNotFound, "names no session of yours.", SESSION);
                        Origin::New
                    }
                    (None, None) => {
                        self.refuse("conversation", "must be the id of a session.", SESSION);
                        Origin::New
                    }
                }
            }
        }
    }

    /// Without these the reply would be another one than was asked for.
    fn refuse_what_is_not_there(&mut self, echo: &Echo) {
        if self.get("prompt").is_some() {
            self.refuse("prompt", "is not accepted: templates are kept by OpenAI.", &["null"]);
        }
        let choice = echo.tool_choice.as_ref();
        // Calls of tools that OpenAI runs itself are what it bounds: here there are none, whatever it says.
        if self.get("max_tool_calls").is_some_and(|most| most.as_u64().is_none_or(|most| most == 0)) {
            self.refuse("max_tool_calls", "must be a whole number, at least 1.", &["a whole number", "null"]);
        }
        self.refuse_log_probabilities();
        let must_call = choice.is_some_and(|choice| choice.is_object() || choice == "required");
        let has_tools = self.get("tools").and_then(Value::as_array).is_some_and(|tools| !tools.is_empty());
        if must_call && !has_tools {
            self.refuse("tool_choice", "asks for a call, and there are no tools.", &["auto", "none", "null"]);
        }
    }

    /// Whatever else is to be included belongs to tools of OpenAI's own, or to thoughts that models keep to themselves: of
    /// those there is nothing to leave out.
    fn refuse_log_probabilities(&mut self) {
        const DETAIL: &str = "asks for log probabilities, which are not offered.";
        if self.get("top_logprobs").is_some_and(|number| number.as_u64() != Some(0)) {
            self.refuse("top_logprobs", DETAIL, &["0", "null"]);
        }
        match self.get("include").cloned() {
            None => {}
            Some(Value::Array(all)) => {
                for (n, _) in all.iter().enumerate().filter(|(_, word)| **word == "message.output_text.logprobs") {
                    self.refuse(&format!("include[{n}]"), DETAIL, &["other words, which ask for nothing here"]);
                }
            }
            Some(_) => self.refuse("include", "must be an array of words.", &["an array", "null"]),
        }
    }
}
