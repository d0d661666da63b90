//! A schema in words: its kind in a line, its fields in a table.

use std::fmt::Write as _;

use serde_json::Value;

use super::text::{escape, prose};

/// What a value is, with links to schemas that have a name.
pub(super) fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return format!("<a href=\"#schema-{0}\">{0}</a>", escape(name));
    }
    for choice in ["oneOf", "anyOf"] {
        if let (Some(choices), None) = (schema[choice].as_array(), schema.get("properties")) {
            return choices.iter().map(kind).collect::<Vec<_>>().join(" or ");
        }
    }
    let mut words = match &schema["type"] {
        Value::String(one) => escape(one),
        Value::Array(several) => several.iter().filter_map(Value::as_str).map(escape).collect::<Vec<_>>().join(" or "),
        _ => schema.get("const").map_or("any".to_owned(), |constant| escape(&constant.to_string())),
    };
    if let Some(items) = schema.get("items") {
        let _ = write!(words, " of {}", kind(items));
    }
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<String> =
            values.iter().map(|value| format!("<code>{}</code>", escape(&value.to_string()))).collect();
        let _ = write!(words, ": {}", values.join(", "));
    }
    for (key, name) in
        [("format", ""), ("minimum", "from "), ("maximum", "to "), ("minItems", "at least "), ("maxItems", "at most ")]
    {
        match schema.get(key) {
            Some(Value::String(text)) => drop(write!(words, ", {name}{}", escape(text))),
            Some(value) => drop(write!(words, ", {name}{value}")),
            None => {}
        }
    }
    if let Some(most) = schema.get("maxLength") {
        let _ = write!(words, ", at most {most} characters");
    }
    if let Some(pattern) = schema["pattern"].as_str().filter(|pattern| pattern.len() <= 60) {
        let _ = write!(words, ", <code>{}</code>", escape(pattern));
    }
    words
}

/// The fields of an object, or what else it is.
pub(super) fn fields(html: &mut String, schema: &Value) {
    let Some(properties) = schema["properties"].as_object() else {
        for choice in
            schema["oneOf"].as_array().into_iter().flatten().filter(|choice| choice.get("properties").is_some())
        {
            fields(html, choice);
        }
        if schema.get("oneOf").is_none() {
            let _ = write!(html, "<p>{}</p>", kind(schema));
        }
        return;
    };
    html.push_str("<table>");
    for (name, property) in properties {
        let required = schema["required"].as_array().is_some_and(|names| names.iter().any(|known| known == name));
        let needed = if required { "" } else { ", may be absent" };
        let _ = write!(html, "<tr><td><code>{}</code><td>{}{needed}<td>", escape(name), kind(property));
        prose(html, &property["description"]);
        if property["$ref"].is_null() && property.get("properties").is_some() {
            fields(html, property);
        }
    }
    html.push_str("</table>");
}
