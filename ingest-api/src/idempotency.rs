//! `Idempotency-Key`: the same key with the same request is the same task; with another request it is a conflict.
//!
//! The task's id is derived from the key, so the earlier request is found under that id: by the worker that has it, in
//! the durable record, or on the bus where it still waits. None of them needs to know of keys.

use http::HeaderMap;
use parlance_shared::{Caller, SessionId, TaskId, port::store::Lookup};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tracing::warn;

use crate::{
    bounded::bounded,
    problem::{Code, Problem},
    read_message::Asked,
    state::ApiState,
};

const HEADER: &str = "Idempotency-Key";

/// The key of a request, if it has one.
pub(crate) fn key_of(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let visible = |b: &u8| (0x21..=0x7e).contains(b);
    match value.to_str() {
        Ok(key) if (1..=255).contains(&key.len()) && key.as_bytes().iter().all(visible) && values.next().is_none() => {
            Ok(Some(key))
        }
        _ => {
            let detail = "must be one value of 1 to 255 visible ASCII characters.";
            Err(Problem::with_field(HEADER, Code::InvalidHeader, detail, &["1 to 255 visible ASCII characters"]))
        }
    }
}

/// A hash of what was asked for, the same for the same request however its JSON was written.
pub(crate) fn fingerprint(session: Option<SessionId>, message: &Asked) -> String {
    let mut hash = Sha256::new();
    add_text(&mut hash, &session.map_or_else(|| "new".to_owned(), |id| id.to_string()));
    add_text(&mut hash, &message.content);
    add_optional(&mut hash, message.model.as_deref());
    add_text(&mut hash, message.strategy.unwrap_or_default().as_str());
    match &message.metadata {
        None => hash.update([0]),
        Some(map) => add_value(&mut hash, &Value::Object(map.clone())),
    }
    // What is absent adds nothing: a plain request has the fingerprint that earlier versions gave it.
    if !message.input.is_plain() {
        add_text(&mut hash, "input");
        add_value(&mut hash, &serde_json::to_value(&message.input).unwrap_or_default());
    }
    if let Some(edited) = message.edits {
        add_text(&mut hash, "edits");
        add_text(&mut hash, &edited.to_string());
    }
    finish(hash)
}

/// The same for a task that is to be answered anew.
pub(crate) fn retry_fingerprint(task: TaskId, model: Option<&str>) -> String {
    let mut hash = Sha256::new();
    add_text(&mut hash, "retry");
    add_text(&mut hash, &task.to_string());
    add_optional(&mut hash, model);
    finish(hash)
}

/// The same for a body as it came, of a protocol of its own.
pub(crate) fn body_fingerprint(protocol: &str, body: &Value) -> String {
    let mut hash = Sha256::new();
    add_text(&mut hash, protocol);
    add_value(&mut hash, body);
    finish(hash)
}

fn finish(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn add_text(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_be_bytes());
    hash.update(text);
}

fn add_optional(hash: &mut Sha256, text: Option<&str>) {
    hash.update([u8::from(text.is_some())]);
    add_text(hash, text.unwrap_or_default());
}

/// Keys in order, whatever order the map keeps; lengths first, so that no two values run into the same bytes.
fn add_value(hash: &mut Sha256, value: &Value) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            hash.update([1]);
            hash.update((entries.len() as u64).to_be_bytes());
            for (key, value) in entries {
                add_text(hash, key);
                add_value(hash, value);
            }
        }
        Value::Array(items) => {
            hash.update([2]);
            hash.update((items.len() as u64).to_be_bytes());
            items.iter().for_each(|item| add_value(hash, item));
        }
        scalar => {
            hash.update([3]);
            add_text(hash, &scalar.to_string());
        }
    }
}

/// What is known of an earlier request under the same key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Earlier {
    /// Nothing: it may be the first, or its event still waits on the bus, which will say so.
    Unknown,
    /// It was the same request.
    Same,
}

/// Looks for an earlier request, and refuses this one if that was another. Acceptance does not depend on these reads:
/// where they fail, the derived ids still make both requests the same task.
pub(crate) async fn find_earlier(
    state: &ApiState,
    caller: &Caller,
    task: TaskId,
    fingerprint: &str,
) -> Result<Earlier, Problem> {
    let limit = state.limits.glance_timeout;
    match bounded(limit, "turns", state.turns.task(&caller.user, task)).await {
        Ok(Some(view)) if view.session_deleted => return Err(session_deleted()),
        Ok(Some(view)) if view.fingerprint.is_some() => return compare(view.fingerprint.as_deref(), fingerprint),
        Ok(_) => {}
        Err(error) => warn!(%error, "no look at the turns for an earlier request"),
    }
    match bounded(limit, "store", state.store.task(&caller.user, task)).await {
        Ok(Lookup::Deleted) => Err(session_deleted()),
        Ok(Lookup::Found(stored)) if stored.fingerprint.is_some() => {
            compare(stored.fingerprint.as_deref(), fingerprint)
        }
        Ok(_) => Ok(Earlier::Unknown),
        Err(error) => {
            warn!(%error, "no look at the store for an earlier request");
            Ok(Earlier::Unknown)
        }
    }
}

/// The earlier request was the same, or the key is refused.
pub(crate) fn compare(earlier: Option<&str>, now: &str) -> Result<Earlier, Problem> {
    if earlier == Some(now) {
        return Ok(Earlier::Same);
    }
    let detail = "was used before for another request; use a new key for a new request.";
    Err(Problem::with_field(HEADER, Code::IdempotencyKeyReused, detail, &[]))
}

fn session_deleted() -> Problem {
    let detail = "was used before, and the session of that request has been deleted; use a new key.";
    Problem::with_field(HEADER, Code::SessionDeleted, detail, &[])
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use parlance_shared::{
        Clock, UserId,
        content::{ContentPart, ToolResult, TurnInput},
        event::Strategy,
        id_mint::IdMint,
    };
    use serde_json::json;

    use super::*;

    fn message(content: &str) -> Asked {
        Asked { content: content.to_owned(), ..Asked::default() }
    }

    fn with_metadata(json: Value) -> Asked {
        Asked { metadata: json.as_object().cloned(), ..message("a") }
    }

    #[test]
    fn the_same_request_has_the_same_fingerprint_however_it_is_written() {
        let first = with_metadata(serde_json::from_str(r#"{"x": 1, "y": [2, {"b": 1, "a": 2}]}"#).unwrap());
        let second = with_metadata(serde_json::from_str(r#"{"y":[2,{"a":2,"b":1}],"x":1}"#).unwrap());
        let second = Asked { strategy: Some(Strategy::Enqueue), ..second };
        assert_eq!(fingerprint(None, &first), fingerprint(None, &second));
        assert_eq!(fingerprint(None, &first).len(), 64);
    }

    #[test]
    fn any_difference_changes_the_fingerprint() {
        let result = |id: &str, content: &str| ToolResult { tool_call_id: id.to_owned(), content: content.to_owned() };
        let input = |input: TurnInput| Asked { input, ..message("a") };
        let mint = IdMint::new(&[1; 32], Clock::system());
        let all = [
            message("a"),
            message("b"),
            message("am"),
            Asked { model: Some("m".to_owned()), ..message("a") },
            Asked { strategy: Some(Strategy::Interrupt), ..message("a") },
            Asked { strategy: Some(Strategy::Reject), ..message("a") },
            with_metadata(json!({})),
            with_metadata(json!({"x": null})),
            with_metadata(json!({"x": "null"})),
            with_metadata(json!({"x": [1, 2]})),
            with_metadata(json!({"x": [[1], 2]})),
            input(TurnInput { tool_results: vec![result("a", "bc")], ..TurnInput::default() }),
            input(TurnInput { tool_results: vec![result("ab", "c")], ..TurnInput::default() }),
            input(TurnInput { tools: Some(json!([{"type": "function"}])), ..TurnInput::default() }),
            input(TurnInput { tool_choice: Some(json!("auto")), ..TurnInput::default() }),
            input(TurnInput { response_format: Some(json!({"type": "text"})), ..TurnInput::default() }),
            input(TurnInput { parts: vec![ContentPart::Text { text: "a".to_owned() }], ..TurnInput::default() }),
            Asked { edits: Some(mint.derive(&UserId::new("alice"), "1")), ..message("a") },
            Asked { edits: Some(mint.derive(&UserId::new("alice"), "2")), ..message("a") },
        ];
        let mut prints: std::collections::HashSet<_> = all.iter().map(|asked| fingerprint(None, asked)).collect();
        let task: TaskId = mint.derive(&UserId::new("alice"), "1");
        prints.extend([retry_fingerprint(task, None), retry_fingerprint(task, Some("m"))]);
        assert_eq!(prints.len(), all.len() + 2);
    }

    #[test]
    fn keys_are_visible_ascii() {
        for (value, good) in [("k", true), ("a-b_c:1\"~", true), ("", false), ("a b", false), ("é", false)] {
            let headers = HeaderMap::from_iter([(
                http::HeaderName::from_static("idempotency-key"),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            )]);
            assert_eq!(key_of(&headers).is_ok(), good, "{value:?}");
        }
        let name = http::HeaderName::from_static("idempotency-key");
        let long = HeaderMap::from_iter([(name.clone(), HeaderValue::from_str(&"k".repeat(256)).unwrap())]);
        assert!(key_of(&long).is_err());
        let mut twice = HeaderMap::new();
        twice.append(&name, HeaderValue::from_static("a"));
        twice.append(&name, HeaderValue::from_static("a"));
        assert!(key_of(&twice).is_err());
        assert_eq!(key_of(&HeaderMap::new()).unwrap(), None);
    }
}
