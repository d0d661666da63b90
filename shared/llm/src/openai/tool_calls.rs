//! Puts together the calls of tools, which come in pieces.
//!
//! OpenAI numbers the calls, names a call in its first piece and sends its arguments bit by bit. Others send whole calls,
//! all under the number 0 or without one, some with the arguments as an object: a piece with an id that its call does not
//! have begins another call.

use parlance_shared::content::ToolCall;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::lenient::{Count, Text};

/// More calls than this in one reply are a model that has lost its way.
const MAX_CALLS: usize = 128;

/// One element of `delta.tool_calls`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct CallPiece {
    index: Count,
    id: Text,
    function: FunctionPiece,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FunctionPiece {
    name: Text,
    arguments: Option<Value>,
}

/// The calls of a reply, as far as they have come.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    calls: Vec<Growing>,
}

#[derive(Debug, Default)]
struct Growing {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

/// There are too many.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany;

impl Assembly {
    /// Adds a piece; gives the bytes that it brought.
    pub(super) fn add(&mut self, piece: CallPiece) -> Result<usize, TooMany> {
        let CallPiece { index: Count(index), id: Text(id), function } = piece;
        let arguments = match function.arguments {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text,
            Some(other) => other.to_string(),
        };
        let name = function.name.0.unwrap_or_default();
        let bytes = id.as_ref().map_or(0, String::len) + name.len() + arguments.len();
        let is_named_otherwise = |call: &Growing| id.as_ref().is_some_and(|id| !call.id.is_empty() && call.id != *id);
        let place = match index {
            Some(_) => self.calls.iter().rposition(|call| call.index == index),
            None => self.calls.len().checked_sub(1),
        };
        // Without a number and an id, a name begins a call, unless that has none yet.
        let begins = |call: &Growing| {
            is_named_otherwise(call) || (index.is_none() && id.is_none() && !name.is_empty() && !call.name.is_empty())
        };
        let place = match place.filter(|place| !begins(&self.calls[*place])) {
            Some(place) => place,
            None if self.calls.len() >= MAX_CALLS => return Err(TooMany),
            None => {
                self.calls.push(Growing { index, ..Growing::default() });
                self.calls.len() - 1
            }
        };
        let call = &mut self.calls[place];
        if let Some(id) = id {
            call.id = id;
        }
        // A name comes whole; some providers repeat it in every piece.
        if call.name.is_empty() {
            call.name = name;
        }
        call.arguments.push_str(&arguments);
        Ok(bytes)
    }

    /// The calls, in their order. What has no name can't be called.
    pub(super) fn into_calls(mut self) -> Vec<ToolCall> {
        self.calls.sort_by_key(|call| call.index);
        let named = self.calls.into_iter().filter(|call| !call.name.is_empty());
        named
            .map(|Growing { id, name, arguments, .. }| ToolCall {
                id: if id.is_empty() { format!("call_{}", Uuid::new_v4().simple()) } else { id },
                name,
                arguments,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assembled(pieces: &[&str]) -> Vec<(String, String, String)> {
        let mut assembly = Assembly::default();
        for piece in pieces {
            assembly.add(serde_json::from_str(piece).unwrap_or_else(|error| panic!("{piece}: {error}"))).unwrap();
        }
        assembly.into_calls().into_iter().map(|call| (call.id, call.name, call.arguments)).collect()
    }

    fn call(id: &str, name: &str, arguments: &str) -> (String, String, String) {
        (id.to_owned(), name.to_owned(), arguments.to_owned())
    }

    #[test]
    fn pieces_of_interleaved_calls_come_together() {
        let calls = assembled(&[
            r#"{"index":1,"id":"b","type":"function","function":{"name":"two","arguments":""}}"#,
            r#"{"index":0,"id":"a","type":"function","function":{"name":"one","arguments":"{\"x\""}}"#,
            r#"{"index":1,"function":{"arguments":"{}"}}"#,
            r#"{"index":0,"id":null,"function":{"name":null,"arguments":":1}"}}"#,
        ]);
        assert_eq!(calls, [call("a", "one", "{\"x\":1}"), call("b", "two", "{}")]);
    }

    #[test]
    fn whole_calls_come_as_others_send_them() {
        // All under one number, with ids of their own.
        let calls = assembled(&[
            r#"{"index":0,"id":"a","function":{"name":"one","arguments":"{}"}}"#,
            r#"{"index":0,"id":"b","function":{"name":"one","arguments":{"x":1}}}"#,
        ]);
        assert_eq!(calls, [call("a", "one", "{}"), call("b", "one", "{\"x\":1}")]);
        // Without numbers and ids.
        let calls = assembled(&[
            r#"{"function":{"name":"one","arguments":"{"}}"#,
            r#"{"function":{"arguments":"}"}}"#,
            r#"{"id":"","function":{"name":"two"}}"#,
            r#"{"index":"odd","function":{}}"#,
        ]);
        let shown: Vec<_> = calls.iter().map(|(_, name, arguments)| (name.as_str(), arguments.as_str())).collect();
        assert_eq!(shown, [("one", "{}"), ("two", "")]);
        assert!(calls.iter().all(|(id, ..)| id.starts_with("call_")) && calls[0].0 != calls[1].0, "{calls:?}");
    }

    #[test]
    fn a_name_that_is_repeated_is_said_once_and_what_has_none_is_left_out() {
        let piece = r#"{"index":0,"id":"a","function":{"name":"one","arguments":"1"}}"#;
        assert_eq!(assembled(&[piece, piece]), [call("a", "one", "11")]);
        assert_eq!(assembled(&[r#"{"index":0,"id":"a","function":{"arguments":"1"}}"#, "{}"]), []);
    }

    #[test]
    fn there_is_a_most() {
        let mut assembly = Assembly::default();
        let piece = |n: usize| serde_json::from_str(&format!(r#"{{"index":{n},"function":{{"name":"n"}}}}"#)).unwrap();
        for n in 0..MAX_CALLS {
            assert_eq!(assembly.add(piece(n)), Ok(1));
        }
        assert_eq!(assembly.add(piece(MAX_CALLS)), Err(TooMany));
        assert_eq!(assembly.add(piece(3)), Ok(1));
    }
}
