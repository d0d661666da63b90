//! Function tools and the form of the reply: flat in Responses, nested in the chat completions that providers take. There and
//! back.

use serde_json::{Map, Value, json};

use crate::{problem::Code, read_tools, validate::Faults};

const HOSTED: &str =
    "is a tool that OpenAI runs itself; this server passes on tools of the type function, which the client runs.";

/// Tools as providers take them.
pub(super) fn tools(faults: &mut Faults, value: Option<&Value>) -> Option<Value> {
    let given = value?.as_array().filter(|tools| !tools.is_empty());
    let Some(given) = given else {
        // None is as good as an empty list.
        return if value?.as_array().is_some() { None } else { read_tools::tools(faults, value.cloned()) };
    };
    let nested = given.iter().enumerate().map(|(n, tool)| nested_tool(faults, n, tool)).collect();
    read_tools::tools(faults, Some(Value::Array(nested)))
}

fn nested_tool(faults: &mut Faults, n: usize, tool: &Value) -> Value {
    let Value::Object(tool) = tool else { return tool.clone() };
    match tool.get("type").and_then(Value::as_str) {
        Some("function") => {}
        Some(_) => {
            faults.add(&format!("tools[{n}].type"), Code::InvalidField, HOSTED, &["function"]);
            return json!({"type": "function"});
        }
        None => return Value::Object(tool.clone()),
    }
    if !tool.get("name").is_some_and(Value::is_string) {
        faults.add(&format!("tools[{n}].name"), Code::MissingField, "is required.", &["a string"]);
    }
    let mut function = tool.clone();
    function.remove("type");
    function.retain(|_, value| !value.is_null());
    json!({"type": "function", "function": function})
}

/// Tools as Responses shows them.
pub(super) fn flat_tools(tools: Option<&Value>) -> Vec<Value> {
    let tools = tools.and_then(Value::as_array).into_iter().flatten();
    tools
        .map(|tool| {
            let mut flat = tool.get("function").and_then(Value::as_object).cloned().unwrap_or_default();
            flat.insert("type".to_owned(), "function".into());
            for absent in ["parameters", "strict", "description"] {
                flat.entry(absent).or_insert(Value::Null);
            }
            Value::Object(flat)
        })
        .collect()
}

/// Which tool must or may be called, as providers take it.
pub(super) fn tool_choice(faults: &mut Faults, value: Option<&Value>) -> Option<Value> {
    let choice = match value? {
        Value::Object(choice) => match choice.get("type").and_then(Value::as_str) {
            Some("function") => {
                let Some(name) = choice.get("name").filter(|name| name.is_string()) else {
                    faults.add("tool_choice.name", Code::MissingField, "is required.", &["the name of a tool"]);
                    return None;
                };
                json!({"type": "function", "function": {"name": name}})
            }
            _ => {
                let accepted = ["auto", "none", "required", "an object of the type function with a name"];
                faults.add("tool_choice.type", Code::InvalidField, HOSTED, &accepted);
                return None;
            }
        },
        other => other.clone(),
    };
    read_tools::tool_choice(faults, Some(choice))
}

/// `text.format`, as providers take it. Plain text needs no word.
pub(super) fn response_format(faults: &mut Faults, text: &Map<String, Value>) -> Option<Value> {
    const TYPES: &[&str] = &["text", "json_object", "json_schema"];
    let format = match text.get("format")? {
        Value::Null => return None,
        Value::Object(format) => format,
        _ => {
            faults.add("text.format", Code::InvalidField, "must be an object with a type.", &["an object"]);
            return None;
        }
    };
    match format.get("type").and_then(Value::as_str) {
        Some("text") => None,
        Some("json_object") => Some(json!({"type": "json_object"})),
        Some("json_schema") => {
            if !format.get("name").is_some_and(Value::is_string) {
                faults.add("text.format.name", Code::MissingField, "is required.", &["a string"]);
            }
            if !format.get("schema").is_some_and(Value::is_object) {
                faults.add("text.format.schema", Code::MissingField, "is required.", &["a JSON schema"]);
            }
            let mut schema = format.clone();
            schema.remove("type");
            schema.retain(|_, value| !value.is_null());
            let nested = json!({"type": "json_schema", "json_schema": schema});
            read_tools::response_format(faults, Some(nested))
        }
        _ => {
            faults.add("text.format.type", Code::InvalidField, "must be the type of a form.", TYPES);
            None
        }
    }
}

/// The form of the reply as Responses shows it.
pub(super) fn flat_format(format: Option<&Value>) -> Value {
    let Some(format) = format else { return json!({"type": "text"}) };
    let Some(schema) = format.get("json_schema").and_then(Value::as_object) else { return format.clone() };
    let mut flat = schema.clone();
    flat.insert("type".to_owned(), "json_schema".into());
    for absent in ["description", "strict"] {
        flat.entry(absent).or_insert(Value::Null);
    }
    Value::Object(flat)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields<T>(read: impl FnOnce(&mut Faults) -> T) -> Vec<String> {
        let mut faults = Faults::default();
        read(&mut faults);
        faults.fields()
    }

    #[test]
    fn tools_go_there_and_back() {
        let flat = json!([
            {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": true, "description": "d"},
            {"type": "function", "name": "time", "parameters": null, "strict": null, "description": null},
        ]);
        let mut faults = Faults::default();
        let nested = tools(&mut faults, Some(&flat)).unwrap();
        assert_eq!(nested[0]["function"]["name"], "weather");
        assert_eq!(nested[1], json!({"type": "function", "function": {"name": "time"}}));
        assert_eq!(Value::Array(flat_tools(Some(&nested))), flat);
        assert_eq!(faults.fields(), [""; 0]);
        assert_eq!(fields(|f| assert_eq!(tools(f, Some(&json!([]))), None)), [""; 0]);
        let hosted = json!([{"type": "web_search"}, {"type": "function"}, 5]);
        assert_eq!(fields(|f| tools(f, Some(&hosted))), ["tools[0].type", "tools[1].name", "tools[2]"]);
        assert_eq!(fields(|f| tools(f, Some(&json!({})))), ["tools"]);
    }

    #[test]
    fn a_choice_names_its_tool() {
        let mut faults = Faults::default();
        let named = tool_choice(&mut faults, Some(&json!({"type": "function", "name": "weather"})));
        assert_eq!(named, Some(json!({"type": "function", "function": {"name": "weather"}})));
        assert_eq!(tool_choice(&mut faults, Some(&json!("required"))), Some(json!("required")));
        assert_eq!(faults.fields(), [""; 0]);
        assert_eq!(fields(|f| tool_choice(f, Some(&json!({"type": "file_search"})))), ["tool_choice.type"]);
        assert_eq!(fields(|f| tool_choice(f, Some(&json!({"type": "function"})))), ["tool_choice.name"]);
        assert_eq!(fields(|f| tool_choice(f, Some(&json!(5)))), ["tool_choice"]);
    }

    #[test]
    fn a_form_goes_there_and_back() {
        let read = |format: Value| {
            let text = json!({"format": format});
            let mut faults = Faults::default();
            (response_format(&mut faults, text.as_object().unwrap()), faults.fields())
        };
        let flat = json!({"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": true, "description": null});
        let (nested, faults) = read(flat.clone());
        assert_eq!((flat_format(nested.as_ref()), faults), (flat, vec![]));
        assert_eq!(read(json!({"type": "text"})), (None, vec![]));
        assert_eq!(flat_format(None), json!({"type": "text"}));
        assert_eq!(flat_format(read(json!({"type": "json_object"})).0.as_ref()), json!({"type": "json_object"}));
        assert_eq!(read(json!({"type": "json_schema"})).1, ["text.format.name", "text.format.schema"]);
        assert_eq!(read(json!({"type": "xml"})).1, ["text.format.type"]);
        assert_eq!(read(json!("text")).1, ["text.format"]);
    }
}
