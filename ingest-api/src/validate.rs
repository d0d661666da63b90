//! Checks of what fields say. All faults of a request are gathered, so that its sender hears of them at once.

use std::borrow::Cow;

use parlance_shared::{MessageId, event::Strategy, session::Metadata};
use serde_json::Value;

use crate::problem::{Code, Fault, Problem};

/// The longest message, in bytes of UTF-8.
pub(crate) const MAX_CONTENT_BYTES: usize = 256 * 1024;
/// The longest heading, in characters.
pub(crate) const MAX_HEADING_CHARS: usize = 200;
/// The longest instructions, in bytes of UTF-8.
pub(crate) const MAX_INSTRUCTIONS_BYTES: usize = 32 * 1024;
/// The largest metadata, in bytes of JSON.
pub(crate) const MAX_METADATA_BYTES: usize = 16 * 1024;
/// The longest name of a model, in characters.
const MAX_MODEL_CHARS: usize = 200;

const CONTENT_ACCEPTED: &[&str] =
    &["a string that is not blank, of at most 262144 bytes", "an array of 1 to 32 parts: text and image_url"];

/// Faults found so far.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    /// One more.
    pub(crate) fn add(&mut self, field: &str, code: Code, detail: impl Into<Cow<'static, str>>, accepted: &[&str]) {
        let accepted = accepted.iter().map(|&a| a.to_owned()).collect();
        self.0.push(Fault { field: field.to_owned(), code, detail: detail.into(), accepted });
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that were found elsewhere.
    pub(crate) fn append(&mut self, mut others: Self) {
        self.0.append(&mut others.0);
    }

    /// Those of something that stands at this place.
    pub(crate) fn nest(&mut self, place: &str, others: Self) {
        let placed = others.0.into_iter().map(|fault| {
            let field = if fault.field.is_empty() { place.to_owned() } else { format!("{place}.{}", fault.field) };
            Fault { field, ..fault }
        });
        self.0.extend(placed);
    }

    /// The problem that tells of all faults, if there are any.
    pub(crate) fn into_result(self) -> Result<(), Problem> {
        let mut faults = self.0.into_iter();
        faults.next().map_or(Ok(()), |first| Err(Problem::of_first(first, faults.collect())))
    }

    pub(crate) fn content(&mut self, content: Option<&str>) {
        const ACCEPTED: &[&str] = CONTENT_ACCEPTED;
        match content {
            None => self.add("content", Code::MissingField, "is required.", ACCEPTED),
            Some(text) if text.len() > MAX_CONTENT_BYTES => {
                let detail = format!("is {} bytes long; at most {MAX_CONTENT_BYTES} are accepted.", text.len());
                self.add("content", Code::ContentTooLarge, detail, ACCEPTED);
            }
            Some(text) if is_blank(text) => self.add("content", Code::InvalidField, "must not be blank.", ACCEPTED),
            Some(text) => self.no_nul("content", text),
        }
    }

    /// It is neither text nor parts.
    pub(crate) fn content_shape(&mut self) {
        self.add("content", Code::InvalidField, "must be a string or an array of parts.", CONTENT_ACCEPTED);
    }

    pub(crate) fn model(&mut self, model: Option<&str>, allowed: &[String]) {
        const ACCEPTED: &[&str] = &["the name of a model, of at most 200 characters"];
        let Some(name) = model else { return };
        if is_blank(name) || name.chars().count() > MAX_MODEL_CHARS || name.chars().any(char::is_control) {
            self.add(
                "model",
                Code::InvalidField,
                "must name a model in at most 200 characters, or be absent.",
                ACCEPTED,
            );
        } else if !allowed.is_empty() && !allowed.iter().any(|known| known == name) {
            let known: Vec<&str> = allowed.iter().map(String::as_str).collect();
            self.add("model", Code::InvalidField, "is not among the models that this server allows.", &known);
        }
    }

    pub(crate) fn strategy(&mut self, word: Option<&str>) -> Option<Strategy> {
        const ACCEPTED: &[&str] = &["enqueue", "interrupt", "reject", "null"];
        let strategy = Strategy::from_word(word?);
        if strategy.is_none() {
            self.add("strategy", Code::InvalidField, "must be enqueue, interrupt or reject, or be absent.", ACCEPTED);
        }
        strategy
    }

    pub(crate) fn edits(&mut self, id: Option<&str>) -> Option<MessageId> {
        const ACCEPTED: &[&str] = &["msg_ followed by 32 lower-case hex digits", "null"];
        let message = id?.parse().ok();
        if message.is_none() {
            self.add("edits", Code::InvalidField, "must be the id of a message of yours in this session.", ACCEPTED);
        }
        message
    }

    pub(crate) fn heading(&mut self, heading: Option<&str>) {
        const ACCEPTED: &[&str] = &["a string that is not blank, of at most 200 characters", "null"];
        let Some(text) = heading else { return };
        if text.chars().count() > MAX_HEADING_CHARS {
            self.add("heading", Code::InvalidField, "is longer than 200 characters.", ACCEPTED);
        } else if is_blank(text) {
            self.add("heading", Code::InvalidField, "must not be blank; null stands for none.", ACCEPTED);
        } else {
            self.no_nul("heading", text);
        }
    }

    pub(crate) fn instructions(&mut self, instructions: Option<&str>) {
        const ACCEPTED: &[&str] = &["a string that is not blank, of at most 32768 bytes", "null"];
        let Some(text) = instructions else { return };
        if text.len() > MAX_INSTRUCTIONS_BYTES {
            self.add("instructions", Code::InvalidField, "is longer than 32768 bytes.", ACCEPTED);
        } else if is_blank(text) {
            self.add("instructions", Code::InvalidField, "must not be blank; null stands for none.", ACCEPTED);
        } else {
            self.no_nul("instructions", text);
        }
    }

    pub(crate) fn metadata(&mut self, metadata: Option<&Metadata>) {
        const ACCEPTED: &[&str] = &["an object of at most 16384 bytes as JSON", "null"];
        let Some(metadata) = metadata else { return };
        if serde_json::to_vec(metadata).map_or(usize::MAX, |json| json.len()) > MAX_METADATA_BYTES {
            self.add("metadata", Code::InvalidField, "is longer than 16384 bytes as JSON.", ACCEPTED);
        }
        for (key, value) in metadata {
            if key.contains('\0') {
                self.add("metadata", Code::InvalidField, "has a key with the character U+0000.", ACCEPTED);
            } else if has_nul(value) {
                let field = format!("metadata.{}", key.chars().take(64).collect::<String>());
                self.add(&field, Code::InvalidField, "must not contain the character U+0000.", &[]);
            }
        }
    }

    /// No database's text can hold it, so it is refused before it is accepted.
    fn no_nul(&mut self, field: &str, text: &str) {
        if text.contains('\0') {
            self.add(field, Code::InvalidField, "must not contain the character U+0000.", &[]);
        }
    }
}

pub(crate) fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(map) => map.iter().any(|(key, value)| key.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Nothing to be seen: whitespace of any script, and characters without width.
pub(crate) fn is_blank(text: &str) -> bool {
    text.chars().all(|c| {
        c.is_whitespace() || c.is_control() || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
    })
}

#[cfg(test)]
impl Faults {
    /// The fields that have faults.
    pub(crate) fn fields(self) -> Vec<String> {
        self.0.into_iter().map(|fault| fault.field).collect()
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;
    use http::StatusCode;
    use serde_json::json;

    use super::*;

    fn fields(check: impl FnOnce(&mut Faults)) -> Vec<String> {
        let mut faults = Faults::default();
        check(&mut faults);
        faults.fields()
    }

    #[test]
    fn content_must_say_something_and_fit() {
        let longest = "€".repeat(MAX_CONTENT_BYTES / 3);
        for good in ["a", " a ", "\u{1f600}", "‏שלום", longest.as_str()] {
            assert!(fields(|f| f.content(Some(good))).is_empty(), "{good:.20?} was refused");
        }
        let too_long = "a".repeat(MAX_CONTENT_BYTES + 1);
        for bad in ["", " \n\t", "\u{2003}\u{3000}", "\u{200b}\u{feff}", "a\0b", "\0", too_long.as_str()] {
            assert_eq!(fields(|f| f.content(Some(bad))), ["content"], "{bad:.20?} was taken");
        }
        let mut faults = Faults::default();
        faults.content(Some(&too_long));
        assert_eq!(faults.into_result().unwrap_err().into_response().status(), StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[test]
    fn models_are_any_name_unless_they_are_listed() {
        let listed = ["small".to_owned()];
        assert!(fields(|f| f.model(Some("anything/at:all"), &[])).is_empty());
        assert!(fields(|f| f.model(None, &listed)).is_empty());
        assert!(fields(|f| f.model(Some("small"), &listed)).is_empty());
        assert_eq!(fields(|f| f.model(Some("large"), &listed)), ["model"]);
        for bad in ["", "  ", "a\nb", "x".repeat(201).as_str()] {
            assert_eq!(fields(|f| f.model(Some(bad), &[])), ["model"], "{bad:?} was taken");
        }
    }

    #[test]
    fn all_faults_are_told() {
        let metadata = json!({"fine": 1, "bad": {"deep": ["\0"]}, "long": "x".repeat(MAX_METADATA_BYTES)});
        let found = fields(|f| {
            f.content(None);
            f.strategy(Some("queue"));
            f.strategy(Some("Enqueue"));
            f.edits(Some("msg_1"));
            assert_eq!(f.strategy(Some("reject")), Some(Strategy::Reject));
            f.heading(Some(&"é".repeat(201)));
            f.heading(Some(&"é".repeat(200)));
            f.instructions(Some(&"x".repeat(MAX_INSTRUCTIONS_BYTES + 1)));
            f.metadata(metadata.as_object());
        });
        assert_eq!(
            found,
            ["content", "strategy", "strategy", "edits", "heading", "instructions", "metadata", "metadata.bad"]
        );
    }
}
