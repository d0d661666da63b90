//! A `tool_choice` of the type `allowed_tools`: of all tools that are given, only these may be called. Not all providers know it,
//! so they are given those tools alone, and the word that it stands for.

use serde_json::{Value, json};

use crate::{problem::Code, validate::Faults};

/// Tools that are left, and the choice among them.
type Left = (Option<Value>, Option<Value>);

/// What is left of the tools; `None` for a choice of another type.
pub(super) fn read(faults: &mut Faults, tools: Option<&Value>, choice: Option<&Value>) -> Option<Left> {
    let choice = choice?.as_object().filter(|choice| choice.get("type").is_some_and(|kind| kind == "allowed_tools"))?;
    let mode = choice.get("mode").and_then(Value::as_str).filter(|mode| ["auto", "required"].contains(mode));
    if mode.is_none() {
        let detail = "must say whether one of these tools must be called.";
        faults.add("tool_choice.mode", Code::InvalidField, detail, &["auto", "required"]);
    }
    let all = tools.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let Some(named) = choice.get("tools").and_then(Value::as_array).filter(|named| !named.is_empty()) else {
        let accepted = ["an array of objects of the type function with a name"];
        faults.add(
            "tool_choice.tools",
            Code::InvalidField,
            "must be an array of the tools that are allowed.",
            &accepted,
        );
        return Some((None, None));
    };
    let mut allowed: Vec<Value> = Vec::with_capacity(named.len());
    for (n, named) in named.iter().enumerate() {
        let name = named.get("name").filter(|name| name.is_string() && named["type"] == "function");
        match all.iter().find(|tool| name.is_some_and(|name| tool["function"]["name"] == *name)) {
            Some(tool) if allowed.contains(tool) => {}
            Some(tool) => allowed.push(tool.clone()),
            None => {
                let detail = "names no function of tools.";
                let accepted = ["an object of the type function with the name of one of tools"];
                faults.add(&format!("tool_choice.tools[{n}]"), Code::InvalidField, detail, &accepted);
            }
        }
    }
    Some((Some(Value::Array(allowed)), mode.map(|mode| json!(mode))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(choice: &Value) -> (Option<Left>, Vec<String>) {
        let tool = |name: &str| json!({"type": "function", "function": {"name": name}});
        let mut faults = Faults::default();
        let read = read(&mut faults, Some(&json!([tool("a"), tool("b"), tool("c")])), Some(choice));
        (read, faults.fields())
    }

    #[test]
    fn only_those_that_are_allowed_are_left() {
        let named = |name: &str| json!({"type": "function", "name": name});
        let choice =
            json!({"type": "allowed_tools", "mode": "required", "tools": [named("c"), named("a"), named("c")]});
        let (read, faults) = given(&choice);
        let (tools, mode) = read.unwrap();
        let names: Vec<String> =
            tools.unwrap().as_array().unwrap().iter().map(|it| it["function"]["name"].to_string()).collect();
        assert_eq!((names, mode, faults), (vec!["\"c\"".into(), "\"a\"".into()], Some(json!("required")), vec![]));
        assert_eq!(given(&json!({"type": "function", "name": "a"})), (None, vec![]));
        assert_eq!(given(&json!("auto")), (None, vec![]));
    }

    #[test]
    fn each_fault_names_its_place() {
        let a = json!({"type": "function", "name": "a"});
        for (mode, tools, field) in [
            (json!("none"), json!([a]), "tool_choice.mode"),
            (json!(null), json!([a]), "tool_choice.mode"),
            (json!("auto"), json!([]), "tool_choice.tools"),
            (json!("auto"), json!("a"), "tool_choice.tools"),
            (json!("auto"), json!([a, {"type": "function", "name": "z"}]), "tool_choice.tools[1]"),
            (json!("auto"), json!([{"type": "web_search"}]), "tool_choice.tools[0]"),
            (json!("auto"), json!(["a"]), "tool_choice.tools[0]"),
        ] {
            let choice = json!({"type": "allowed_tools", "mode": mode, "tools": tools});
            assert_eq!(given(&choice).1, [field], "{choice}");
        }
    }
}
