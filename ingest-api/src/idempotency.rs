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
    post_message::PostMessage,
    problem::{Code, Problem},
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
pub(crate) fn fingerprint(session: Option<SessionId>, message: &PostMessage) -> String {
    let mut hash = Sha256::new();
    add_text(&mut hash, &session.map_or_else(|| "new".to_owned(), |id| id.to_string()));
    add_text(&mut hash, message.content.as_deref().unwrap_or_default());
    add_optional(&mut hash, message.model.as_deref());
    add_text(&mut hash, message.strategy.as_deref().unwrap_or("enqueue"));
    match &message.metadata {
        None => hash.update([0]),
        Some(map) => add_value(&mut hash, &Value::Object(map.clone())),
    }
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
    use serde_json::json;

    use super::*;

    fn message(json: Value) -> PostMessage {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn the_same_request_has_the_same_fingerprint_however_it_is_written() {
        let first: PostMessage =
            serde_json::from_str(r#"{"content": "a", "metadata": {"x": 1, "y": [2, {"b": 1, "a": 2}]}}"#).unwrap();
        let second: PostMessage = serde_json::from_str(
            r#"{"metadata":{"y":[2,{"a":2,"b":1}],"x":1},"strategy":"enqueue","model":null,"content":"\u0061"}"#,
        )
        .unwrap();
        assert_eq!(fingerprint(None, &first), fingerprint(None, &second));
        assert_eq!(fingerprint(None, &first).len(), 64);
    }

    #[test]
    fn any_difference_changes_the_fingerprint() {
        let all = [
            json!({"content": "a"}),
            json!({"content": "b"}),
            json!({"content": "a", "model": "m"}),
            json!({"content": "am"}),
            json!({"content": "a", "metadata": {}}),
            json!({"content": "a", "metadata": {"x": null}}),
            json!({"content": "a", "metadata": {"x": "null"}}),
            json!({"content": "a", "metadata": {"x": [1, 2]}}),
            json!({"content": "a", "metadata": {"x": [[1], 2]}}),
        ];
        let prints: std::collections::HashSet<_> =
            all.iter().map(|body| fingerprint(None, &message(body.clone()))).collect();
        assert_eq!(prints.len(), all.len());
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
