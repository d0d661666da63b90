//! Tools, their results and the form of the reply: checked in shape, and passed on to the provider as they are.

use parlance_shared::content::ToolResult;
use serde_json::Value;

use crate::{
    problem::Code,
    read_parts::{only, string},
    validate::{Faults, MAX_CONTENT_BYTES},
};

/// The most results of one message.
const MAX_TOOL_RESULTS: usize = 64;
/// The longest id of a call, in characters.
const MAX_CALL_ID_CHARS: usize = 200;
/// The most tools of one message.
const MAX_TOOLS: usize = 128;
/// The largest description of tools, or of the reply's form, in bytes of JSON.
const MAX_JSON_BYTES: usize = 64 * 1024;

/// Results of tools that the reply before called.
pub(crate) fn tool_results(faults: &mut Faults, value: Option<&Value>) -> Vec<ToolResult> {
    const ACCEPTED: &[&str] = &["an array of 1 to 64 objects with tool_call_id and content"];
    let Some(value) = value else { return Vec::new() };
    let Some(items) = value.as_array().filter(|items| (1..=MAX_TOOL_RESULTS).contains(&items.len())) else {
        faults.add("tool_results", Code::InvalidField, "must be an array of 1 to 64 results.", ACCEPTED);
        return Vec::new();
    };
    let results: Vec<ToolResult> = items
        .iter()
        .enumerate()
        .filter_map(|(n, item)| tool_result(faults, &format!("tool_results[{n}]"), item))
        .collect();
    let bytes: usize = results.iter().map(|result| result.content.len()).sum();
    if bytes > MAX_CONTENT_BYTES {
        let detail = format!("hold {bytes} bytes of content; at most {MAX_CONTENT_BYTES} are accepted.");
        faults.add("tool_results", Code::ContentTooLarge, detail, ACCEPTED);
    }
    results
}

fn tool_result(faults: &mut Faults, place: &str, item: &Value) -> Option<ToolResult> {
    let Value::Object(result) = item else {
        faults.add(place, Code::InvalidField, "must be an object.", &["an object with tool_call_id and content"]);
        return None;
    };
    let known = only(faults, place, result, &["tool_call_id", "content"]);
    let field = format!("{place}.tool_call_id");
    let tool_call_id = string(faults, &field, result.get("tool_call_id"));
    let content = string(faults, &format!("{place}.content"), result.get("content"));
    let (tool_call_id, content) = (tool_call_id?, content?);
    if !(1..=MAX_CALL_ID_CHARS).contains(&tool_call_id.chars().count()) {
        let accepted = "the id of a tool call, of 1 to 200 characters";
        faults.add(&field, Code::InvalidField, "must be the id of a call of the reply before.", &[accepted]);
        return None;
    }
    known.then(|| ToolResult { tool_call_id: tool_call_id.to_owned(), content: content.to_owned() })
}

/// Tools that the model may call.
pub(crate) fn tools(faults: &mut Faults, value: Option<Value>) -> Option<Value> {
    const ACCEPTED: &[&str] = &["an array of 1 to 128 objects with a type, of at most 65536 bytes as JSON"];
    let value = value?;
    let Some(items) = value.as_array().filter(|items| (1..=MAX_TOOLS).contains(&items.len())) else {
        faults.add("tools", Code::InvalidField, "must be an array of 1 to 128 tools.", ACCEPTED);
        return None;
    };
    for (n, item) in items.iter().enumerate().filter(|(_, item)| !item["type"].is_string()) {
        let place = if item.is_object() { format!("tools[{n}].type") } else { format!("tools[{n}]") };
        faults.add(&place, Code::InvalidField, "must be an object with a type.", &["an object with a type"]);
    }
    fits(faults, "tools", &value, ACCEPTED);
    Some(value)
}

/// Which of them it must or may call.
pub(crate) fn tool_choice(faults: &mut Faults, value: Option<Value>) -> Option<Value> {
    const ACCEPTED: &[&str] = &["a string such as auto, none or required", "an object that names a tool"];
    let value = value?;
    if !value.is_string() && !value.is_object() {
        faults.add("tool_choice", Code::InvalidField, "must be a string or an object.", ACCEPTED);
    } else {
        fits(faults, "tool_choice", &value, ACCEPTED);
    }
    Some(value)
}

/// The form of the reply.
pub(crate) fn response_format(faults: &mut Faults, value: Option<Value>) -> Option<Value> {
    const ACCEPTED: &[&str] = &["an object with a type, of at most 65536 bytes as JSON"];
    let value = value?;
    if !value.is_object() {
        faults.add("response_format", Code::InvalidField, "must be an object with a type.", ACCEPTED);
    } else if !value["type"].is_string() {
        let accepted = &["a string such as text, json_object or json_schema"];
        faults.add("response_format.type", Code::InvalidField, "must be a string.", accepted);
    } else {
        fits(faults, "response_format", &value, ACCEPTED);
    }
    Some(value)
}

fn fits(faults: &mut Faults, field: &str, value: &Value, accepted: &[&str]) {
    let bytes = value.to_string().len();
    if bytes > MAX_JSON_BYTES {
        let detail = format!("is {bytes} bytes long as JSON; at most {MAX_JSON_BYTES} are accepted.");
        faults.add(field, Code::InvalidField, detail, accepted);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(read: impl FnOnce(&mut Faults)) -> Vec<String> {
        let mut faults = Faults::default();
        read(&mut faults);
        faults.fields()
    }

    #[test]
    fn what_has_the_right_shape_is_passed_on() {
        let tools_given = json!([{"type": "function", "function": {"name": "weather", "parameters": {}}}]);
        let format = json!({"type": "json_schema", "json_schema": {"name": "a", "schema": {}}});
        let mut faults = Faults::default();
        assert_eq!(tools(&mut faults, Some(tools_given.clone())), Some(tools_given));
        assert_eq!(tool_choice(&mut faults, Some(json!("auto"))), Some(json!("auto")));
        assert_eq!(response_format(&mut faults, Some(format.clone())), Some(format));
        let results = tool_results(&mut faults, Some(&json!([{"tool_call_id": "c1", "content": ""}])));
        assert_eq!(results, [ToolResult { tool_call_id: "c1".into(), content: String::new() }]);
        assert_eq!(faults.fields(), Vec::<String>::new());
    }

    #[test]
    fn each_fault_names_its_place() {
        for (given, field) in [
            (json!({}), "tools"),
            (json!([]), "tools"),
            (json!([{"type": "function"}, "weather"]), "tools[1]"),
            (json!([{"function": {}}]), "tools[0].type"),
            (json!([{"type": "function", "x": "y".repeat(MAX_JSON_BYTES)}]), "tools"),
        ] {
            assert_eq!(fields(|f| drop(tools(f, Some(given.clone())))), [field], "{given:.80}");
        }
        for (given, field) in [
            (json!("c1"), "tool_results"),
            (json!([]), "tool_results"),
            (json!(["c1"]), "tool_results[0]"),
            (json!([{"content": "a"}]), "tool_results[0].tool_call_id"),
            (json!([{"tool_call_id": "c1"}]), "tool_results[0].content"),
            (json!([{"tool_call_id": "c1", "content": {}}]), "tool_results[0].content"),
            (json!([{"tool_call_id": "", "content": "a"}]), "tool_results[0].tool_call_id"),
            (json!([{"tool_call_id": "c1", "content": "a", "name": "x"}]), "tool_results[0].name"),
            (json!([{"tool_call_id": "c1", "content": "a".repeat(MAX_CONTENT_BYTES + 1)}]), "tool_results"),
        ] {
            assert_eq!(fields(|f| drop(tool_results(f, Some(&given)))), [field], "{given:.80}");
        }
        assert_eq!(fields(|f| drop(tool_choice(f, Some(json!(1))))), ["tool_choice"]);
        assert_eq!(fields(|f| drop(response_format(f, Some(json!("json"))))), ["response_format"]);
        assert_eq!(fields(|f| drop(response_format(f, Some(json!({}))))), ["response_format.type"]);
    }
}
