//! Makes the derived schemas say all that serde does: flattened parts are parts of the object, answers hold every field, and
//! nothing that is not named.

use serde_json::{Map, Value, json};

use super::protocols;

/// Fields of answers that may be absent; of an answer that is not listed here, all are always there, null when not known.
const MAY_BE_ABSENT: [(&str, &[&str]); 5] = [
    ("ImageUrl", &["detail"]),
    ("Message", &["parts", "tool_results", "tool_calls", "superseded_by"]),
    ("Problem", &["field", "accepted", "errors", "budget", "limit", "used", "resets_at", "window_seconds"]),
    ("Fault", &["accepted"]),
    ("UsageGroup", &["day", "session_id", "model"]),
];

/// Bodies of requests: what they need is said beside each field.
const REQUESTS: [&str; 4] = ["FirstMessage", "PostMessage", "RetryTask", "SessionFields"];

/// Applies all of it to the components' schemas.
pub(super) fn close(schemas: &mut Map<String, Value>) {
    for name in schemas.keys().cloned().collect::<Vec<_>>() {
        let Some(schema) = schemas.get(&name) else { continue };
        let mut schema = merged(schema, schemas);
        tidy(&mut schema);
        if !REQUESTS.contains(&name.as_str()) && !protocols::REQUESTS.contains(&name.as_str()) {
            require_all(&name, &mut schema);
        }
        schemas.insert(name, schema);
    }
}

/// An `allOf` of objects as one object. Of the forms of a flattened enum there is one at a time; which fields that leaves out
/// is said above.
fn merged(schema: &Value, schemas: &Map<String, Value>) -> Value {
    let whole = named(schema, schemas);
    if whole.get("allOf").is_none() {
        return whole.clone();
    }
    let (mut properties, mut required) = (Map::new(), Vec::new());
    gather(whole, schemas, &mut properties, &mut required);
    let mut one = json!({"type": "object", "properties": properties, "required": required});
    if let Some(description) = whole.get("description") {
        one["description"] = description.clone();
    }
    one
}

fn named<'a>(schema: &'a Value, schemas: &'a Map<String, Value>) -> &'a Value {
    let name = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next());
    name.and_then(|name| schemas.get(name)).unwrap_or(schema)
}

fn gather(schema: &Value, schemas: &Map<String, Value>, all: &mut Map<String, Value>, required: &mut Vec<Value>) {
    let schema = named(schema, schemas);
    all.extend(schema["properties"].as_object().cloned().unwrap_or_default());
    required.extend(schema["required"].as_array().cloned().unwrap_or_default());
    let parts = ["allOf", "oneOf"].into_iter().filter_map(|key| schema[key].as_array()).flatten();
    parts.for_each(|part| gather(part, schemas, all, required));
}

/// Closes every object that names its properties, and drops formats of integers that say less than their bounds.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.contains_key("properties") {
                map.entry("additionalProperties").or_insert(Value::Bool(false));
            }
            if map.get("format").is_some_and(|format| matches!(format.as_str(), Some("int32" | "int64" | "double"))) {
                map.remove("format");
            }
            map.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

fn require_all(name: &str, schema: &mut Value) {
    let may_be_absent = MAY_BE_ABSENT.iter().find(|(known, _)| *known == name).map_or(&[][..], |(_, fields)| fields);
    let Some(properties) = schema["properties"].as_object() else { return };
    let required: Vec<&String> = properties.keys().filter(|field| !may_be_absent.contains(&field.as_str())).collect();
    schema["required"] = json!(required);
}
