//! Bodies of the protocols that are not ours. Their own descriptions say all of them; here stands what this server looks at, and
//! anything else may be there.

use serde_json::{Map, Value, json};

use super::examples::{MESSAGE, REPLY, TASK};

/// Where a client's own name for a chat stands in an example.
pub(super) const CHAT: &str = "chat-1";

fn open(required: &[&str], properties: Value, description: &str) -> Value {
    json!({
        "type": "object",
        "description": description,
        "required": required,
        "properties": properties,
        "additionalProperties": true,
    })
}

/// Bodies of requests.
pub(super) const REQUESTS: [&str; 3] = ["ChatCompletionRequest", "ResponseRequest", "UiChatRequest"];

/// All of them.
pub(super) fn schemas() -> Map<String, Value> {
    let (text, flag) = (json!({"type": ["string", "null"]}), json!({"type": ["boolean", "null"]}));
    let objects = json!({"type": "array", "items": {"type": "object"}});
    let some = json!({"type": "array", "minItems": 1, "items": {"type": "object"}});
    let event = json!({"type": "object", "description": "One event, as a reader of event streams gives it."});
    let error = json!({
        "type": "object",
        "required": ["message", "type", "param", "code"],
        "properties": {
            "message": {"type": "string"},
            "type": {"type": "string"},
            "param": {"type": ["string", "null"], "description": "The member of the request that is to blame."},
            "code": {"type": ["string", "null"], "description": "A code of ours, or one that SDKs know."},
        },
    });
    let object = |names: &[&str], about: &str| {
        let properties: Map<String, Value> = names.iter().map(|name| ((*name).to_owned(), json!({}))).collect();
        open(names, properties.into(), about)
    };
    let all = [
        (
            "OpenAiError",
            json!({
                "type": "object",
                "description": "An error as OpenAI's clients know it.",
                "required": ["error"],
                "properties": {"error": error},
            }),
        ),
        (
            "ChatCompletionRequest",
            open(
                &["messages"],
                json!({"messages": some, "model": text, "stream": flag, "tools": {"type": ["array", "null"]}}),
                "As OpenAI's `chat.completions.create` sends it; `conversation` names a session of yours.",
            ),
        ),
        (
            "ChatCompletion",
            object(&["id", "object", "created", "model", "choices", "usage"], "OpenAI's chat completion."),
        ),
        (
            "ResponseRequest",
            open(
                &["input"],
                json!({"input": {"oneOf": [{"type": "string"}, some]}, "model": text, "stream": flag, "background": flag, "store": flag}),
                "As OpenAI's `responses.create` sends it; `conversation` names a session of yours.",
            ),
        ),
        ("OpenAiResponse", object(&["id", "object", "created_at", "status", "output"], "OpenAI's response.")),
        ("ResponseDeleted", object(&["id", "object", "deleted"], "The response is hidden from now on.")),
        ("ResponseItems", object(&["object", "data", "has_more"], "What the response was asked with.")),
        ("OpenAiModel", object(&["id", "object", "created", "owned_by"], "OpenAI's model.")),
        (
            "OpenAiModels",
            open(
                &["object", "data"],
                json!({"object": {"const": "list"}, "data": {"type": "array", "items": {"$ref": "#/components/schemas/OpenAiModel"}}}),
                "The models that a request may name.",
            ),
        ),
        (
            "UiChatRequest",
            open(
                &["id", "messages"],
                json!({
                    "id": {"type": "string", "minLength": 1, "maxLength": 255},
                    "messages": {"type": "array", "minItems": 1, "items": {"type": "object"}},
                    "trigger": {"type": ["string", "null"], "enum": ["submit-message", "regenerate-message", null]},
                    "messageId": text,
                    "model": text,
                }),
                "As the AI SDK's `DefaultChatTransport` sends it. Of the messages the last one is read.",
            ),
        ),
        ("UiChat", object(&["sessionId", "running", "messages"], "A chat and its messages.")),
        ("UiMessages", objects),
        ("UiStopped", object(&["stopped"], "What was stopped: tasks.")),
        ("ProtocolEvent", event),
    ];
    all.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

/// An example of the schema with this name.
pub(super) fn example(schema: &str) -> Option<Value> {
    let id = |prefix: &str, of: &str| of.split_once('_').map(|(_, digits)| format!("{prefix}{digits}"));
    let said = json!({"role": "user", "content": "What is the capital of Ghana?"});
    Some(match schema {
        "OpenAiError" => json!({"error": {
            "message": "The model did not answer in time.",
            "type": "server_error",
            "param": null,
            "code": "provider_stalled",
        }}),
        "ChatCompletionRequest" => json!({"messages": [said]}),
        "ChatCompletion" => json!({
            "id": id("chatcmpl-", TASK)?,
            "object": "chat.completion",
            "created": 1_766_318_400,
            "model": "gpt-5-mini",
            "choices": [{
                "index": 0,
                "message": {"role": "assistant", "content": "The capital of Ghana is Accra."},
                "finish_reason": "stop",
            }],
            "usage": {"prompt_tokens": 31, "completion_tokens": 8, "total_tokens": 39},
        }),
        "ResponseRequest" => json!({"input": "What is the capital of Ghana?"}),
        "OpenAiResponse" => json!({
            "id": id("resp_", TASK)?,
            "object": "response",
            "created_at": 1_766_318_400,
            "status": "completed",
            "output": [{
                "type": "message",
                "id": id("msg_", REPLY)?,
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "The capital of Ghana is Accra.", "annotations": []}],
            }],
        }),
        "ResponseDeleted" => json!({"id": id("resp_", TASK)?, "object": "response", "deleted": true}),
        "ResponseItems" => json!({"object": "list", "data": [], "has_more": false}),
        "OpenAiModel" => json!({"id": "gpt-5-mini", "object": "model", "created": 0, "owned_by": "parlance"}),
        "OpenAiModels" => json!({"object": "list", "data": [example("OpenAiModel")?]}),
        "UiChatRequest" => {
            let part = json!({"type": "text", "text": "What is the capital of Ghana?"});
            json!({"id": CHAT, "messages": [{"id": MESSAGE, "role": "user", "parts": [part]}]})
        }
        "UiChat" => json!({"sessionId": super::examples::SESSION, "running": false, "messages": []}),
        "UiStopped" => json!({"stopped": []}),
        "UiMessages" => json!([]),
        _ => return None,
    })
}
