//! What fields accept beyond their types, as the checks of [`crate::validate`] and its neighbours have it. A size in bytes is
//! told as that many characters: what is longer is refused in any case.

use serde_json::{Map, Value, json};

use crate::validate::{MAX_CONTENT_BYTES, MAX_HEADING_CHARS, MAX_INSTRUCTIONS_BYTES};

/// Something to be seen, and no U+0000.
const VISIBLE: &str = r"^[^\u0000]*[^\s\u0000-\u001f\u007f-\u00a0\u00ad\u200b-\u200f\u2060\ufeff][^\u0000]*$";
/// No U+0000.
const NO_NUL: &str = r"^[^\u0000]*$";
/// A name: something to be seen, and no control characters.
const NAME: &str = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u00a0\u00ad\u200b-\u200f\u2060\ufeff][^\u0000-\u001f\u007f-\u009f]*$";
/// An address with the name of a host, or an image as it is.
const IMAGE: &str = r"^(https://[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+(-[a-z0-9]+)*)*\.[a-z]{2,}(:[1-9][0-9]{0,3})?(/[!-~]*)?|data:image/(png|jpeg|webp|gif);base64,([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==))$";
/// An address with the name of a host, of characters that stand for themselves in it.
const ADDRESS: &str = r"^https://[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+(-[a-z0-9]+)*)*\.[a-z]{2,}(:[1-9][0-9]{0,3})?(/[A-Za-z0-9._~!$&()*+,;=:@%/?-]*)?$";
/// The id of an event.
const CURSOR: &str = "^[0-9]+-([0-9]+|r|end)$";
/// A place in a list.
const PAGE: &str = r"^(0|[1-9a-f][0-9a-f]{0,14})\.[a-z]{3}_[0-9a-f]{32}$";

/// Schema, property, and what is said of it in place of what the derive says of its type.
fn properties() -> Vec<(&'static str, &'static str, Value)> {
    let visible = |most: usize| json!({"type": "string", "pattern": VISIBLE, "maxLength": most});
    let nullable = |most: usize| json!({"type": ["string", "null"], "pattern": VISIBLE, "maxLength": most});
    let part = json!({"$ref": "#/components/schemas/ContentPart"});
    let says_something = json!({"anyOf": [
        {"type": "object", "required": ["image_url"]},
        {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "pattern": VISIBLE}}},
    ]});
    let content = json!({"oneOf": [
        {"type": "string", "maxLength": MAX_CONTENT_BYTES, "pattern": NO_NUL},
        {"type": "array", "minItems": 1, "maxItems": 32, "items": part, "contains": says_something},
        {"type": "null"},
    ]});
    let typed = json!({"type": "object", "required": ["type"], "properties": {"type": {"type": "string"}}, "additionalProperties": true});
    let mut form = typed.clone();
    form["type"] = json!(["object", "null"]);
    let results = json!({"type": ["array", "null"], "minItems": 1, "maxItems": 64, "items": {"$ref": "#/components/schemas/ToolResult"}});
    let model = json!({"type": ["string", "null"], "maxLength": 200, "pattern": NAME});
    let mut all = vec![
        ("SessionFields", "heading", nullable(MAX_HEADING_CHARS)),
        ("SessionFields", "instructions", nullable(MAX_INSTRUCTIONS_BYTES)),
        ("RetryTask", "model", model.clone()),
        ("ToolResult", "tool_call_id", json!({"type": "string", "minLength": 1, "maxLength": 200, "pattern": NO_NUL})),
        ("ToolResult", "content", json!({"type": "string", "pattern": NO_NUL})),
        ("ImageUrl", "url", json!({"type": "string", "pattern": IMAGE})),
        ("ImageUrl", "detail", json!({"type": ["string", "null"], "enum": ["auto", "low", "high", null]})),
    ];
    for message in ["PostMessage", "FirstMessage"] {
        all.extend([
            (message, "content", content.clone()),
            (message, "model", model.clone()),
            (message, "tool_results", results.clone()),
            (message, "tools", json!({"type": ["array", "null"], "minItems": 1, "maxItems": 128, "items": typed})),
            (message, "tool_choice", json!({"type": ["string", "object", "null"]})),
            (message, "response_format", form.clone()),
            // One less than is accepted: an address without a path gets a slash.
            (message, "webhook_url", json!({"type": ["string", "null"], "maxLength": 2047, "pattern": ADDRESS})),
        ]);
    }
    let says = json!({"required": ["content"], "properties": {"content": {"oneOf": [visible(MAX_CONTENT_BYTES), {"type": "array"}]}}});
    let brings = json!({"required": ["tool_results"], "properties": {
        "tool_results": {"type": "array"},
        "content": {"anyOf": [{"type": ["array", "null"]}, {"type": "string", "maxLength": 0}, visible(MAX_CONTENT_BYTES)]},
    }});
    all.extend(["PostMessage", "FirstMessage"].map(|message| (message, "", json!({"anyOf": [says, brings]}))));
    all.push(("FirstMessage", "edits", json!({"type": "null", "description": "There is nothing yet to edit."})));
    all
}

/// Whole schemas that no type of ours stands for.
pub(super) fn schemas() -> [(&'static str, Value); 3] {
    let text = json!({"type": "string", "pattern": NO_NUL});
    let members = json!({"type": "object", "propertyNames": text, "additionalProperties": {"$ref": "#/components/schemas/MetadataValue"}});
    let mut metadata = members.clone();
    metadata["description"] =
        "Data of the client's own, at most 16384 bytes as JSON, without the character U+0000.".into();
    let value = json!({
        "description": "Any JSON without the character U+0000.",
        "anyOf": [
            {"type": ["null", "boolean", "number"]},
            text,
            {"type": "array", "items": {"$ref": "#/components/schemas/MetadataValue"}},
            members,
        ],
    });
    let event = |name: &str, data: &str| {
        json!({
            "type": "object",
            "required": ["event", "id", "data"],
            "properties": {
                "event": {"const": name},
                "id": {"type": "string", "pattern": CURSOR},
                "data": {
                    "type": "string",
                    "contentMediaType": "application/json",
                    "contentSchema": {"$ref": format!("#/components/schemas/{data}")},
                },
                "retry": {"type": "integer"},
            },
        })
    };
    let events = [
        event("status", "StatusData"),
        event("delta", "DeltaData"),
        event("tool_call", "ToolCallData"),
        event("reset", "ResetData"),
        event("done", "Task"),
        event("failed", "Task"),
        event("cancelled", "Task"),
    ];
    let event = json!({"description": "One event of a reply's stream, as a reader of event streams gives it.", "oneOf": events});
    [("Metadata", metadata), ("MetadataValue", value), ("StreamEvent", event)]
}

/// Applies them; what the derive says of a field in words stays.
pub(super) fn bind(schemas: &mut Map<String, Value>) {
    for (schema, property, bounds) in properties() {
        let Some(schema) = schemas.get_mut(schema) else { continue };
        let target = if property.is_empty() { schema } else { &mut schema["properties"][property] };
        let (Some(target), Value::Object(bounds)) = (target.as_object_mut(), bounds) else { continue };
        if !property.is_empty() {
            target.retain(|key, _| key == "description");
        }
        target.extend(bounds);
    }
}

/// What a parameter's text looks like, where no type says so.
pub(super) fn pattern(operation: &str, parameter: &str) -> Option<&'static str> {
    match (operation, parameter) {
        ("listSessions", "before") | ("listMessages", "after") => Some(PAGE),
        ("getUsage", "after") => Some(r"^(day|session|model)\.[^\u0000]*$"),
        ("getUsage", "from" | "to") => Some(
            r"^(19[7-9]|20[0-9])[0-9]-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])(T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?Z)?$",
        ),
        _ => None,
    }
}
