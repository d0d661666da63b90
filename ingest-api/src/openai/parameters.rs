//! What the provider is given as it came: sampling and the like, by an allow-list. Members that are not on it are ignored, as
//! clients send many of their own.

use serde_json::{Map, Value};

use crate::{problem::Code, validate::Faults};

/// The most words that stop a reply.
const MAX_STOPS: usize = 16;
/// The longest word of these, and the longest name of a user, in characters.
const MAX_CHARS: usize = 512;
/// The largest object, in bytes of JSON.
const MAX_JSON_BYTES: usize = 16 * 1024;

/// What a parameter may be.
enum Kind {
    Number(f64, f64),
    Integer,
    Flag,
    Text,
    Stops,
    Biases,
}

const KNOWN: &[(&str, Kind)] = &[
    ("temperature", Kind::Number(0.0, 2.0)),
    ("top_p", Kind::Number(0.0, 1.0)),
    ("presence_penalty", Kind::Number(-2.0, 2.0)),
    ("frequency_penalty", Kind::Number(-2.0, 2.0)),
    ("stop", Kind::Stops),
    ("seed", Kind::Integer),
    ("logit_bias", Kind::Biases),
    ("parallel_tool_calls", Kind::Flag),
    ("reasoning_effort", Kind::Text),
    ("verbosity", Kind::Text),
    ("user", Kind::Text),
    ("safety_identifier", Kind::Text),
    ("prompt_cache_key", Kind::Text),
    ("service_tier", Kind::Text),
];

/// Takes the known parameters out of a request. Null is as good as absent.
pub(crate) fn parameters(faults: &mut Faults, request: &mut Map<String, Value>) -> Map<String, Value> {
    let mut taken = Map::new();
    for (name, kind) in KNOWN {
        match request.remove(*name) {
            None | Some(Value::Null) => {}
            Some(value) if kind.takes(&value) => {
                taken.insert((*name).to_owned(), value);
            }
            Some(_) => {
                let accepted = kind.accepted();
                faults.add(name, Code::InvalidField, format!("must be {accepted}."), &[&accepted, "null"]);
            }
        }
    }
    taken
}

/// The most tokens that a reply may have.
pub(crate) fn max_tokens(faults: &mut Faults, name: &str, value: Option<Value>) -> Option<u32> {
    let value = value.filter(|value| !value.is_null())?;
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|number| *number > 0);
    if number.is_none() {
        let accepted = &["a whole number from 1 to 4294967295", "null"];
        faults.add(name, Code::InvalidField, "must be a whole number of tokens, at least 1.", accepted);
    }
    number
}

impl Kind {
    fn takes(&self, value: &Value) -> bool {
        let is_text = |value: &Value| {
            value.as_str().is_some_and(|text| text.chars().count() <= MAX_CHARS && !text.contains('\0'))
        };
        match self {
            Self::Number(least, most) => value.as_f64().is_some_and(|number| (*least..=*most).contains(&number)),
            Self::Integer => value.is_i64() || value.is_u64(),
            Self::Flag => value.is_boolean(),
            Self::Text => is_text(value),
            Self::Stops => match value {
                Value::Array(words) => words.len() <= MAX_STOPS && words.iter().all(is_text),
                word => is_text(word),
            },
            Self::Biases => value.as_object().is_some_and(|biases| {
                let fits = value.to_string().len() <= MAX_JSON_BYTES;
                fits && biases.values().all(|bias| bias.as_f64().is_some_and(|bias| (-100.0..=100.0).contains(&bias)))
            }),
        }
    }

    fn accepted(&self) -> String {
        match self {
            Self::Number(least, most) => format!("a number from {least} to {most}"),
            Self::Integer => "a whole number".to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::Text => format!("a string of at most {MAX_CHARS} characters"),
            Self::Stops => {
                format!("a string, or an array of at most {MAX_STOPS}, of at most {MAX_CHARS} characters each")
            }
            Self::Biases => format!("an object of numbers from -100 to 100, of at most {MAX_JSON_BYTES} bytes as JSON"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn known_parameters_are_taken_and_all_else_is_left() {
        let mut request = json!({
            "temperature": 0.5, "top_p": 1, "stop": ["a"], "seed": -7, "logit_bias": {"50256": -100},
            "parallel_tool_calls": false, "reasoning_effort": "low", "user": null, "top_k": 5, "endpoint": "azure"
        });
        let mut faults = Faults::default();
        let taken = parameters(&mut faults, request.as_object_mut().unwrap());
        let expected = json!({
            "temperature": 0.5, "top_p": 1, "stop": ["a"], "seed": -7, "logit_bias": {"50256": -100},
            "parallel_tool_calls": false, "reasoning_effort": "low"
        });
        assert_eq!(Value::Object(taken), expected);
        assert_eq!(faults.fields(), [""; 0]);
        assert_eq!(request, json!({"top_k": 5, "endpoint": "azure"}));
    }

    #[test]
    fn each_fault_names_its_parameter() {
        for (name, value) in [
            ("temperature", json!("hot")),
            ("temperature", json!(2.1)),
            ("top_p", json!(-0.1)),
            ("presence_penalty", json!(3)),
            ("frequency_penalty", json!([])),
            ("stop", json!(["a", 1])),
            ("stop", json!(vec!["a"; MAX_STOPS + 1])),
            ("seed", json!(1.5)),
            ("logit_bias", json!({"a": 101})),
            ("parallel_tool_calls", json!("yes")),
            ("reasoning_effort", json!(1)),
            ("user", json!("x".repeat(MAX_CHARS + 1))),
            ("verbosity", json!("a\0")),
        ] {
            let mut request = Map::from_iter([(name.to_owned(), value.clone())]);
            let mut faults = Faults::default();
            assert!(parameters(&mut faults, &mut request).is_empty());
            assert_eq!(faults.fields(), [name], "{value:.60}");
        }
        for value in [json!(0), json!(-1), json!(1.5), json!("9"), json!(5_000_000_000_u64)] {
            let mut faults = Faults::default();
            assert_eq!(max_tokens(&mut faults, "max_tokens", Some(value)), None);
            assert_eq!(faults.fields(), ["max_tokens"]);
        }
    }
}
