//! A JSON body: of the right media type, bounded in size and time, of the right shape.
//!
//! The media type is insisted on also because a page of another origin can't send it without asking first (CSRF).

use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use http::{HeaderMap, header};
use http_body::Body as _;
use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::IgnoredAny};
use serde_path_to_error::Segment;

use super::read_body::read_body;
use crate::{
    problem::{Code, Problem},
    state::ApiState,
};

/// A field's name and what it takes.
pub(crate) type Field = (&'static str, &'static str);

/// A request's body.
pub(crate) trait RequestBody: DeserializeOwned {
    /// All its fields.
    const FIELDS: &'static [Field];
}

/// A body of the shape asked for; what its fields say remains to be checked.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: RequestBody> FromRequest<Arc<ApiState>> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &Arc<ApiState>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        if !is_json(&parts.headers) {
            let detail = "the body must be JSON and say so.";
            return Err(Problem::with_field("Content-Type", Code::UnsupportedMediaType, detail, &["application/json"]));
        }
        let mut room = state.door.limits.bodies.enter();
        let bytes = read_body(body, &parts.headers, &state.limits, &mut room).await?;
        parse(&bytes).map(Self)
    }
}

/// The same where a request without any body is one, too.
pub(crate) struct OptionalJsonBody<T>(pub(crate) Option<T>);

impl<T: RequestBody> FromRequest<Arc<ApiState>> for OptionalJsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &Arc<ApiState>) -> Result<Self, Problem> {
        if request.body().is_end_stream() && !request.headers().contains_key(header::CONTENT_TYPE) {
            return Ok(Self(None));
        }
        JsonBody::from_request(request, state).await.map(|JsonBody(body)| Self(Some(body)))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let Some(value) = values.next().and_then(|value| value.to_str().ok()) else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim();
    values.next().is_none() && essence.eq_ignore_ascii_case("application/json")
}

fn parse<T: RequestBody>(bytes: &[u8]) -> Result<T, Problem> {
    // serde would also take an array with the fields in order.
    if bytes.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b'{') {
        return Err(match serde_json::from_slice::<IgnoredAny>(bytes) {
            Ok(_) => Problem::new(Code::InvalidField, "The body must be a JSON object."),
            Err(error) => not_json(&error),
        });
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| wrong_shape::<T>(&error))?;
    deserializer.end().map_err(|error| not_json(&error))?;
    Ok(value)
}

fn not_json(error: &serde_json::Error) -> Problem {
    let (line, column) = (error.line(), error.column());
    let what = error.to_string();
    let what = what.split(" at line ").next().unwrap_or_default();
    Problem::new(Code::InvalidJson, format!("The body is not JSON: {what} (line {line}, column {column})."))
}

fn wrong_shape<T: RequestBody>(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    if !error.inner().is_data() {
        return not_json(error.inner());
    }
    let names: Vec<&str> = T::FIELDS.iter().map(|(name, _)| *name).collect();
    let Some(Segment::Map { key }) = error.path().iter().next() else {
        // Raised by the object as a whole: the only such fault is a field that comes twice.
        let message = error.inner().to_string();
        let field = message.strip_prefix("duplicate field `").and_then(|rest| rest.split('`').next());
        return match field {
            Some(field) => Problem::with_field(field, Code::InvalidField, "is given more than once.", &[]),
            None => Problem::new(Code::InvalidField, "The body does not have the shape of this request."),
        };
    };
    match T::FIELDS.iter().find(|(name, _)| name == key) {
        Some((_, accepted)) => {
            let detail = format!("must be {accepted}.");
            Problem::with_field(error.path().to_string(), Code::InvalidField, detail, &[accepted])
        }
        None => {
            let key: String = key.chars().take(64).collect();
            Problem::with_field(key, Code::UnknownField, "is not a field of this request.", &names)
        }
    }
}

/// Tells an absent field (`None`, by `serde(default)`) from `null` (`Some(None)`).
pub(crate) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(d: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(d).map(Some)
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;
    use http_body_util::BodyExt as _;
    use parlance_shared::session::Metadata;
    use serde_json::{Value, json};

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        content: Option<String>,
        metadata: Option<Metadata>,
    }

    impl RequestBody for Sample {
        const FIELDS: &'static [Field] = &[("content", "a string"), ("metadata", "an object, or null")];
    }

    async fn refused(body: &str) -> Value {
        let response = parse::<Sample>(body.as_bytes()).unwrap_err().into_response();
        serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
    }

    #[tokio::test]
    async fn each_fault_names_its_place() {
        assert_eq!(refused(r#"{"content": 5}"#).await["field"], "content");
        assert_eq!(refused(r#"{"content": 5}"#).await["accepted"], json!(["a string"]));
        assert_eq!(refused(r#"{"metadata": []}"#).await["field"], "metadata");
        let unknown = refused(r#"{"content": "a", "contents": "b"}"#).await;
        assert_eq!((&unknown["code"], &unknown["field"]), (&json!("unknown_field"), &json!("contents")));
        assert_eq!(unknown["accepted"], json!(["content", "metadata"]));
        assert_eq!(refused(r#"{"content": "a", "content": "b"}"#).await["field"], "content");
        for text in
            ["", " ", "{", "nope", r#"{"content": "a"} x"#, r#"{"content": "\ud800"}"#, "{\"content\": \"a\nb\"}"]
        {
            let problem = refused(text).await;
            assert_eq!(problem["code"], "invalid_json", "{text:?} gave {problem}");
            assert!(problem["detail"].as_str().unwrap().contains("(line "), "{problem}");
        }
        for text in ["[]", r#"["a"]"#, "5", "null"] {
            assert_eq!(refused(text).await["code"], "invalid_field", "{text:?}");
        }
        let deep = format!("{{\"metadata\": {{\"a\": {}1{}}}}}", "[".repeat(200), "]".repeat(200));
        assert_eq!(refused(&deep).await["code"], "invalid_json");
        let taken: Sample = parse(br#" {"content": "a", "metadata": {"any": [1, {}]}} "#).unwrap();
        assert_eq!((taken.content.as_deref(), taken.metadata.map(|m| m.len())), (Some("a"), Some(1)));
    }
}
