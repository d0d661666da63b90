//! A message's parts: text, and images by address or as they are. Nothing is fetched or decoded here; the provider does that.

use parlance_shared::content::{ContentPart, ImageUrl};
use serde_json::{Map, Value};
use url::Url;

use crate::{
    problem::Code,
    validate::{Faults, MAX_CONTENT_BYTES, is_blank},
};

/// The most parts of one message.
pub(crate) const MAX_PARTS: usize = 32;
/// The longest address of an image, in bytes.
const MAX_URL_BYTES: usize = 2_048;
const DETAILS: &[&str] = &["auto", "low", "high"];
const TYPES: &[&str] = &["text", "image_url"];
const IMAGES: &[&str] = &["image/png", "image/jpeg", "image/webp", "image/gif"];

/// The text of all parts, a line each, and the parts.
pub(crate) fn parts(faults: &mut Faults, items: &[Value], data_uri_bytes: usize) -> (String, Vec<ContentPart>) {
    if items.is_empty() || items.len() > MAX_PARTS {
        let detail = format!("has {} parts; 1 to {MAX_PARTS} are accepted.", items.len());
        faults.add("content", Code::InvalidField, detail, &["an array of 1 to 32 parts"]);
        return Default::default();
    }
    let read: Vec<Option<ContentPart>> = items
        .iter()
        .enumerate()
        .map(|(n, item)| part(faults, &format!("content[{n}]"), item, data_uri_bytes))
        .collect();
    let Some(parts) = read.into_iter().collect::<Option<Vec<_>>>() else { return Default::default() };
    let texts: Vec<&str> = parts
        .iter()
        .filter_map(|part| match part {
            ContentPart::Text { text } => Some(text.as_str()),
            ContentPart::ImageUrl { .. } => None,
        })
        .collect();
    let (only_text, text) = (texts.len() == parts.len(), texts.join("\n"));
    if text.len() > MAX_CONTENT_BYTES {
        let detail = format!("has {} bytes of text; at most {MAX_CONTENT_BYTES} are accepted.", text.len());
        faults.add("content", Code::ContentTooLarge, detail, &["parts with at most 262144 bytes of text"]);
    } else if only_text && is_blank(&text) {
        faults.add("content", Code::InvalidField, "must not be blank.", &["a part with text, or an image"]);
    }
    (text, parts)
}

fn part(faults: &mut Faults, place: &str, item: &Value, data_uri_bytes: usize) -> Option<ContentPart> {
    let Value::Object(part) = item else {
        faults.add(place, Code::InvalidField, "must be an object with a type.", &["an object"]);
        return None;
    };
    match part.get("type").and_then(Value::as_str) {
        Some("text") => {
            let known = only(faults, place, part, &["type", "text"]);
            let text = string(faults, &format!("{place}.text"), part.get("text"))?;
            known.then(|| ContentPart::Text { text: text.to_owned() })
        }
        Some("image_url") => {
            let known = only(faults, place, part, &["type", "image_url"]);
            let place = format!("{place}.image_url");
            let Some(Value::Object(image)) = part.get("image_url") else {
                faults.add(&place, Code::InvalidField, "must be an object with a url.", &["an object"]);
                return None;
            };
            let known = only(faults, &place, image, &["url", "detail"]) && known;
            let image_url = image_url(faults, &place, image, data_uri_bytes)?;
            known.then_some(ContentPart::ImageUrl { image_url })
        }
        _ => {
            let detail = "must be the type of a part that is accepted.";
            faults.add(&format!("{place}.type"), Code::InvalidField, detail, TYPES);
            None
        }
    }
}

/// An image at a place.
pub(crate) fn image_url(
    faults: &mut Faults,
    place: &str,
    image: &Map<String, Value>,
    data_uri_bytes: usize,
) -> Option<ImageUrl> {
    let field = format!("{place}.url");
    let url = string(faults, &field, image.get("url"))?;
    let accepted = format!("a data: URI of at most {data_uri_bytes} bytes with base64 of {}", IMAGES.join(", "));
    let accepted = ["an https: URL of at most 2048 bytes", accepted.as_str()];
    let fault = match url.strip_prefix("data:") {
        Some(data) => data_fault(url, data, data_uri_bytes),
        None => address_fault(url),
    };
    if let Some((code, detail)) = fault {
        faults.add(&field, code, detail, &accepted);
        return None;
    }
    let detail = match image.get("detail") {
        None | Some(Value::Null) => None,
        Some(Value::String(word)) if DETAILS.contains(&word.as_str()) => Some(word.clone()),
        Some(_) => {
            faults.add(&format!("{place}.detail"), Code::InvalidField, "must be auto, low or high.", DETAILS);
            return None;
        }
    };
    Some(ImageUrl { url: url.to_owned(), detail })
}

fn address_fault(url: &str) -> Option<(Code, String)> {
    let good = Url::parse(url).is_ok_and(|parsed| parsed.scheme() == "https" && parsed.has_host());
    if url.len() > MAX_URL_BYTES {
        return Some((
            Code::InvalidField,
            format!("is {} bytes long; at most {MAX_URL_BYTES} are accepted.", url.len()),
        ));
    }
    (!good || url.chars().any(|c| c.is_control() || c.is_whitespace()))
        .then(|| (Code::InvalidField, "must be an https: URL or a data: URI.".to_owned()))
}

fn data_fault(url: &str, data: &str, most: usize) -> Option<(Code, String)> {
    if url.len() > most {
        let detail = format!("is {} bytes long; at most {most} are accepted.", url.len());
        return Some((Code::ContentTooLarge, detail));
    }
    let known = data.split_once(";base64,").filter(|(kind, _)| IMAGES.contains(kind));
    let Some((_, base64)) = known else {
        return Some((Code::InvalidField, "must hold base64 of an image of an accepted type.".to_owned()));
    };
    (!is_base64(base64)).then(|| (Code::InvalidField, "holds no base64 after the comma.".to_owned()))
}

/// With padding, and nothing else in between.
fn is_base64(text: &str) -> bool {
    let unpadded = text.trim_end_matches('=');
    !text.is_empty()
        && text.len().is_multiple_of(4)
        && text.len() - unpadded.len() <= 2
        && unpadded.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}

/// The string at a place.
pub(crate) fn string<'a>(faults: &mut Faults, field: &str, value: Option<&'a Value>) -> Option<&'a str> {
    match value {
        Some(Value::String(text)) if !text.contains('\0') => Some(text),
        Some(Value::String(_)) => {
            faults.add(field, Code::InvalidField, "must not contain the character U+0000.", &[]);
            None
        }
        None => {
            faults.add(field, Code::MissingField, "is required.", &["a string"]);
            None
        }
        Some(_) => {
            faults.add(field, Code::InvalidField, "must be a string.", &["a string"]);
            None
        }
    }
}

/// Whether an object has no fields but these.
pub(crate) fn only(faults: &mut Faults, place: &str, object: &Map<String, Value>, known: &[&str]) -> bool {
    let Some(unknown) = object.keys().find(|key| !known.contains(&key.as_str())) else { return true };
    let field = format!("{place}.{}", unknown.chars().take(64).collect::<String>());
    faults.add(&field, Code::UnknownField, "is not a field of this object.", known);
    false
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(content: Value) -> (String, Vec<ContentPart>, Vec<String>) {
        let mut faults = Faults::default();
        let (text, parts) = parts(&mut faults, content.as_array().unwrap(), 64);
        (text, parts, faults.fields())
    }

    fn image(url: &str) -> Value {
        json!({"type": "image_url", "image_url": {"url": url}})
    }

    #[test]
    fn text_and_images_are_taken() {
        let (text, parts, faults) = read(json!([
            {"type": "text", "text": "what"},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
            {"type": "text", "text": "is this?"},
            image("data:image/png;base64,aGVsbG8="),
        ]));
        assert_eq!((text.as_str(), parts.len(), faults.len()), ("what\nis this?", 4, 0));
        assert_eq!(read(json!([image("data:image/webp;base64,aGVs")])).2, Vec::<String>::new(), "an image says enough");
    }

    #[test]
    fn each_fault_names_its_place() {
        let long = format!("https://example.com/{}", "a".repeat(MAX_URL_BYTES));
        let large = format!("data:image/png;base64,{}", "aGVs".repeat(16));
        for (part, field) in [
            (json!("text"), "content[0]"),
            (json!({"type": "audio"}), "content[0].type"),
            (json!({"text": "a"}), "content[0].type"),
            (json!({"type": "text"}), "content[0].text"),
            (json!({"type": "text", "text": 1}), "content[0].text"),
            (json!({"type": "text", "text": "a\0"}), "content[0].text"),
            (json!({"type": "text", "text": "a", "more": 1}), "content[0].more"),
            (json!({"type": "text", "text": " "}), "content"),
            (json!({"type": "image_url", "image_url": "https://example.com/a.png"}), "content[0].image_url"),
            (json!({"type": "image_url", "image_url": {}}), "content[0].image_url.url"),
            (
                json!({"type": "image_url", "image_url": {"url": "https://example.com", "detail": "most"}}),
                "content[0].image_url.detail",
            ),
            (image("http://example.com/a.png"), "content[0].image_url.url"),
            (image("https://"), "content[0].image_url.url"),
            (image("https://example.com/a b"), "content[0].image_url.url"),
            (image("file:///etc/passwd"), "content[0].image_url.url"),
            (image(&long), "content[0].image_url.url"),
            (image(&large), "content[0].image_url.url"),
            (image("data:image/svg+xml;base64,aGVs"), "content[0].image_url.url"),
            (image("data:image/png,aGVs"), "content[0].image_url.url"),
            (image("data:image/png;base64,"), "content[0].image_url.url"),
            (image("data:image/png;base64,aGV"), "content[0].image_url.url"),
            (image("data:image/png;base64,a==="), "content[0].image_url.url"),
            (image("data:image/png;base64,aG=s"), "content[0].image_url.url"),
        ] {
            assert_eq!(read(json!([part])).2, [field], "{part:.80}");
        }
        assert_eq!(read(json!([])).2, ["content"]);
        assert_eq!(read(vec![json!({"type": "text", "text": "a"}); MAX_PARTS + 1].into()).2, ["content"]);
        let half = json!({"type": "text", "text": "a".repeat(MAX_CONTENT_BYTES / 2)});
        assert_eq!(read(json!([half, half])).2, ["content"], "the line break is one too many");
    }
}
