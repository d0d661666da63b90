//! `POST /v1/chat/completions`.

use std::{convert::Infallible, future::pending, sync::Arc};

use axum::{
    Json,
    body::Body,
    extract::{ConnectInfo, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{
    Behaviour, Fault, Raw,
    connection::Reset,
    log::{Guard, LoggedMessage, RequestRecord},
    memory::{Purpose, recall},
    reply_text::ReplyText,
    script::{Incoming, Mock},
    streaming::Reply,
    wire::{self, Chunks, Usage},
};

#[derive(Deserialize)]
pub(crate) struct ChatRequest {
    model: Option<String>,
    #[serde(default)]
    messages: Vec<ChatMessage>,
    #[serde(default)]
    stream: bool,
    stream_options: Option<StreamOptions>,
    tools: Option<Value>,
    tool_choice: Option<Value>,
    response_format: Option<Value>,
    #[serde(alias = "max_completion_tokens")]
    max_tokens: Option<u64>,
    #[serde(flatten)]
    parameters: serde_json::Map<String, Value>,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

#[derive(Deserialize)]
struct ChatMessage {
    role: String,
    content: Option<Content>,
    #[serde(default)]
    tool_calls: Vec<Value>,
    tool_call_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Value>),
}

impl ChatMessage {
    fn into_logged(self) -> LoggedMessage {
        let (content, parts) = match self.content {
            None => (String::new(), Vec::new()),
            Some(Content::Text(text)) => (text, Vec::new()),
            Some(Content::Parts(parts)) => (parts.iter().filter_map(|part| part["text"].as_str()).collect(), parts),
        };
        let Self { role, tool_calls, tool_call_id, .. } = self;
        LoggedMessage { role, content, parts, tool_calls, tool_call_id }
    }
}

pub(crate) async fn post_chat_completions(
    State(mock): State<Arc<Mock>>,
    ConnectInfo(reset): ConnectInfo<Reset>,
    headers: HeaderMap,
    Json(request): Json<ChatRequest>,
) -> Response {
    let began = Instant::now();
    let messages: Vec<LoggedMessage> = request.messages.into_iter().map(ChatMessage::into_logged).collect();
    let text =
        messages.iter().rev().find(|message| message.role == "user").map(|m| m.content.clone()).unwrap_or_default();
    let purpose = Purpose::of(&messages);
    let log = if purpose.is_some() { &mock.memory_log } else { &mock.log };
    let attempt = log.count(&text);
    let incoming = Incoming { last_user_text: &text, attempt, messages: &messages, purpose };
    let credentials = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut behaviour = match mock.script.behaviour(&incoming, credentials) {
        Ok(behaviour) => behaviour,
        Err(problem) => return json(400, &wire::error_json("invalid_request_error", Some("mock_directive"), &problem)),
    };
    if messages.last().is_some_and(|message| message.role == "tool") {
        behaviour.tool_calls.clear();
    }
    if behaviour.fault.is_some_and(|fault| !is_provoked(fault, &messages, request.tools.is_some())) {
        behaviour.fault = None;
    }
    let knowledge = behaviour.recall.as_deref().map(|key| recall(key, &messages));
    let says = behaviour.says.clone().or(knowledge).or_else(|| purpose.map(|purpose| purpose.answer(&messages)));
    let prompt_tokens = messages.iter().map(|message| (message.content.len() as u64 / 4).max(1)).sum();
    let echo = behaviour.echo_count.then_some(messages.len());
    let guard = log.begin(RequestRecord {
        number: 0,
        attempt,
        purpose,
        message_count: messages.len(),
        messages,
        model: request.model.clone(),
        tools: request.tools,
        tool_choice: request.tool_choice,
        response_format: request.response_format,
        max_tokens: request.max_tokens,
        parameters: request.parameters,
        fault: behaviour.fault.map(|fault| fault.word().to_owned()),
        started_ms: 0,
        ended_ms: None,
        disconnected_ms: None,
        tokens_sent: 0,
        last_user_text: text.clone(),
    });
    if let Some(raw) = behaviour.raw {
        return send_raw(raw, Some(guard));
    }
    match behaviour.fault {
        Some(Fault::ResetBeforeFirstByte) => {
            reset.set();
            guard.end();
            return StatusCode::OK.into_response();
        }
        Some(Fault::StallBeforeFirst) => {
            let _held = guard;
            return pending().await;
        }
        Some(Fault::StallAfterHead) => {
            let body = Body::from_stream(stream::once(async move {
                let _held = guard;
                pending::<Result<Bytes, Infallible>>().await
            }));
            return event_stream(body);
        }
        Some(fault) => {
            if let Some(refusal) = refuse(fault, &behaviour, credentials) {
                sleep(behaviour.first_token_delay).await;
                guard.end();
                return refusal;
            }
        }
        None => {}
    }
    let chunks = Chunks::new(request.model.as_deref());
    let reply_text = match (behaviour.fault, says) {
        (Some(Fault::Big), _) => ReplyText::big(),
        (Some(Fault::EmptyReply), _) => ReplyText::new(&text, None, 0, None),
        (_, Some(says)) => {
            let reply_text = ReplyText::said(&says);
            behaviour.tokens = reply_text.tokens;
            reply_text
        }
        _ => ReplyText::new(&text, behaviour.vary.then_some(attempt), behaviour.tokens, echo),
    };
    if !request.stream {
        sleep(behaviour.first_token_delay + behaviour.token_delay * reply_text.tokens).await;
        guard.sent(reply_text.tokens);
        guard.end();
        let usage = Usage { prompt: prompt_tokens, completion: reply_text.tokens.into() };
        let body = chunks.completion(&reply_text.first(reply_text.tokens), &behaviour.tool_calls, attempt, usage);
        return ([(header::CONTENT_TYPE, "application/json")], body).into_response();
    }
    let include_usage = request.stream_options.is_some_and(|options| options.include_usage);
    let reply =
        Reply { behaviour, text: reply_text, chunks, prompt_tokens, include_usage, reset, guard, began, attempt };
    event_stream(reply.into_body())
}

/// Some faults happen only to those who ask for it.
fn is_provoked(fault: Fault, messages: &[LoggedMessage], has_tools: bool) -> bool {
    match fault {
        Fault::NoImages => messages.iter().any(LoggedMessage::has_image),
        Fault::NoTools => has_tools,
        _ => true,
    }
}

/// The answer of a fault that is an error status.
fn refuse(fault: Fault, behaviour: &Behaviour, credentials: &str) -> Option<Response> {
    let (status, kind, code, message) = match fault {
        Fault::Http500 => (500, "server_error", None, "The server had an error while processing your request."),
        Fault::Http429 => (429, "requests", Some("rate_limit_exceeded"), "Rate limit reached for mock-model."),
        Fault::Http401 => {
            let message = format!("Incorrect API key provided: {credentials}.");
            return Some(json(401, &wire::error_json("invalid_request_error", Some("invalid_api_key"), &message)));
        }
        Fault::Http400 => (400, "invalid_request_error", None, "Unrecognized request argument."),
        Fault::Http404 => {
            (404, "invalid_request_error", Some("model_not_found"), "The model `mock-model` does not exist.")
        }
        Fault::ContextTooLong => (
            400,
            "invalid_request_error",
            Some("context_length_exceeded"),
            "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
        ),
        Fault::ContentRefused => (
            400,
            "invalid_request_error",
            Some("content_policy_violation"),
            "Your request was rejected as a result of our safety system.",
        ),
        Fault::NoImages => {
            (400, "invalid_request_error", None, "Invalid content type. image_url is only supported by certain models.")
        }
        Fault::NoTools => (400, "invalid_request_error", None, "mock-model does not support tools"),
        _ => return None,
    };
    let mut response = json(status, &wire::error_json(kind, code, message));
    if let Some(value) = behaviour.retry_after.as_deref().and_then(|text| text.parse().ok()) {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    Some(response)
}

fn json(status: u16, body: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_owned()).into_response()
}

fn event_stream(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "text/event-stream; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")], body)
        .into_response()
}

/// A raw answer to a request that is not logged.
pub(crate) fn send_raw_answer(raw: Raw) -> Response {
    send_raw(raw, None)
}

fn send_raw(raw: Raw, guard: Option<Guard>) -> Response {
    let frames = stream::iter(raw.frames).then(|frame| async move {
        // Returning to hyper makes it write what it has, so that each frame leaves on its own.
        tokio::task::yield_now().await;
        Ok::<_, Infallible>(frame)
    });
    let body = frames.chain(stream::once(async move {
        if raw.stay_open {
            let _held = guard;
            return pending().await;
        }
        if let Some(guard) = guard {
            guard.end();
        }
        Ok(Bytes::new())
    }));
    let mut response = Response::new(Body::from_stream(body));
    *response.status_mut() = StatusCode::from_u16(raw.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in raw.headers {
        if let (Ok(name), Ok(value)) = (header::HeaderName::try_from(name), value.parse()) {
            response.headers_mut().append(name, value);
        }
    }
    response
}
