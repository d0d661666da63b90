//! Sorts what a provider says instead of a reply: an error status, or an error in the middle of a stream.
//!
//! Providers agree on little. The status decides where it can; else their codes, then phrases of their messages.

use std::time::Duration;

use parlance_shared::port::llm::{LlmError, LlmErrorKind};
use reqwest::StatusCode;
use serde_json::Value;

use super::redact::Redactor;

const CONTEXT_CODES: [&str; 4] = ["context_length", "context_window", "string_above_max_length", "exceed_context_size"];
const CONTEXT_PHRASES: [&str; 7] = [
    "maximum context length",
    "context length exceeded",
    "context window",
    "exceeds the context",
    "prompt is too long",
    "exceeds the maximum number of tokens",
    "exceed the model's context",
];
const CONTENT_CODES: [&str; 5] =
    ["content_filter", "content_policy", "content_management_policy", "responsible_ai", "moderation"];
const CONTENT_PHRASES: [&str; 4] =
    ["content management policy", "content policy", "safety system", "violates our usage policies"];
const RATE_CODES: [&str; 5] = ["rate_limit", "ratelimit", "too_many_requests", "resource_exhausted", "quota"];

/// Ways to say that a model takes no images, in words of which all must appear. What is wrong with the image itself is
/// said otherwise.
const NO_IMAGES: [&[&str]; 11] = [
    &["image", "not support"],
    &["image", "n't support"],
    &["image", "only supported by certain models"],
    &["image", "not enabled"],
    &["support image input"],
    &["at most 0 image"],
    &["unknown variant `image"],
    &["image", "missing data required"],
    &["not a multimodal"],
    &["image", "vision", "support"],
    &["content must be a string"],
];
const THE_IMAGE_ITSELF: [&str; 5] = ["format", "mime", "image type", "image size", "image url"];
/// The same of tools.
const NO_TOOLS: [&[&str]; 5] = [
    &["tool", "not support"],
    &["tool", "n't support"],
    &["function call", "not support"],
    &["support tool use"],
    &["enable-auto-tool-choice"],
];

/// What a prompt asks of a model that not every model can, and whose refusal is to be recognised.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asks {
    pub(super) images: bool,
    pub(super) tools: bool,
}

/// A response with an error status.
pub(super) fn from_response(
    status: StatusCode,
    body: &[u8],
    retry_after: Option<Duration>,
    asks: Asks,
    redactor: &Redactor,
) -> LlmError {
    let problem = Problem::read(body);
    let kind = match status.as_u16() {
        429 => LlmErrorKind::RateLimited,
        401..=403 => LlmErrorKind::Unauthorized,
        // Some servers fail with a 500 at the first image.
        400.. if asks.images && problem.refuses_images() => LlmErrorKind::ImagesNotSupported,
        400.. if asks.tools && problem.says(&NO_TOOLS) => LlmErrorKind::ToolsNotSupported,
        408 | 500.. => LlmErrorKind::Unavailable,
        404 => LlmErrorKind::UnknownModel,
        400..500 if problem.is_about(&CONTEXT_CODES, &CONTEXT_PHRASES) => LlmErrorKind::ContextTooLong,
        400..500 if problem.is_about(&CONTENT_CODES, &CONTENT_PHRASES) => LlmErrorKind::ContentRefused,
        // Redirects are among the rest: where they lead, nobody has configured.
        _ => LlmErrorKind::Rejected,
    };
    let detail = redactor.clean(&format!("{}: {}", status.as_u16(), problem.describe()));
    LlmError { kind, detail, retry_after: retry_after.filter(|_| kind.is_retryable()) }
}

/// An event, or a body where a stream was asked for. `None` when it speaks of no error.
pub(super) fn from_event(body: &[u8], redactor: &Redactor) -> Option<LlmError> {
    let value = serde_json::from_slice(body).ok()?;
    from_value(find_error(&value)?, redactor)
}

/// The value of an `error` field. `None` when it holds nothing.
pub(super) fn from_value(error: &Value, redactor: &Redactor) -> Option<LlmError> {
    let is_nothing = match error {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    if is_nothing {
        return None;
    }
    let problem = Problem::from_error(error);
    let kind = if problem.is_about(&RATE_CODES, &[]) || problem.codes.contains("429") {
        LlmErrorKind::RateLimited
    } else if problem.is_about(&CONTEXT_CODES, &CONTEXT_PHRASES) {
        LlmErrorKind::ContextTooLong
    } else if problem.is_about(&CONTENT_CODES, &CONTENT_PHRASES) {
        LlmErrorKind::ContentRefused
    } else {
        LlmErrorKind::Unavailable
    };
    Some(LlmError::new(kind, redactor.clean(&problem.describe())))
}

/// `{"error": …}`, or Google's list of one such object.
fn find_error(value: &Value) -> Option<&Value> {
    match value {
        Value::Array(list) => list.first().and_then(find_error),
        _ => value.get("error").filter(|error| !error.is_null()),
    }
}

/// A provider's error, as far as it says anything.
struct Problem {
    /// Code, type, status: in lower case, one after the other.
    codes: String,
    message: String,
}

impl Problem {
    fn read(body: &[u8]) -> Self {
        match serde_json::from_slice::<Value>(body) {
            // vLLM and FastAPI put the fields at the top.
            Ok(value) => Self::from_error(find_error(&value).unwrap_or(&value)),
            Err(_) => Self { codes: String::new(), message: String::from_utf8_lossy(body).into_owned() },
        }
    }

    fn from_error(error: &Value) -> Self {
        if let Value::String(message) = error {
            return Self { codes: String::new(), message: message.clone() };
        }
        let word = |value: &Value| match value {
            Value::String(text) => Some(text.to_ascii_lowercase()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let fields = ["code", "type", "status", "error_type"];
        let inner = error.get("innererror").and_then(|inner| inner.get("code"));
        let codes: Vec<String> =
            fields.iter().filter_map(|field| error.get(*field)).chain(inner).filter_map(word).collect();
        let message = ["message", "detail"].iter().find_map(|field| error.get(*field)).map(|message| match message {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        Self { codes: codes.join(" "), message: message.unwrap_or_default() }
    }

    fn is_about(&self, codes: &[&str], phrases: &[&str]) -> bool {
        let message = self.message.to_lowercase();
        codes.iter().any(|code| self.codes.contains(code)) || phrases.iter().any(|phrase| message.contains(phrase))
    }

    /// Whether its message has all words of one of these.
    fn says(&self, ways: &[&[&str]]) -> bool {
        let message = self.message.to_lowercase();
        ways.iter().any(|words| words.iter().all(|word| message.contains(word)))
    }

    fn refuses_images(&self) -> bool {
        let message = self.message.to_lowercase();
        self.says(&NO_IMAGES) && !THE_IMAGE_ITSELF.iter().any(|word| message.contains(word))
    }

    fn describe(&self) -> String {
        match (self.codes.is_empty(), self.message.is_empty()) {
            (true, true) => "no reason given".to_owned(),
            (true, false) => self.message.clone(),
            (false, true) => self.codes.clone(),
            (false, false) => format!("{}: {}", self.codes, self.message),
        }
    }
}

#[cfg(test)]
mod tests {
    use LlmErrorKind::*;

    use super::*;

    fn redactor() -> Redactor {
        Redactor::new(Some("sk-secret"), &"http://h/v1".parse().unwrap())
    }

    #[test]
    fn statuses_and_bodies_are_sorted() {
        let context = r#"{"error":{"message":"x","type":"invalid_request_error","code":"context_length_exceeded"}}"#;
        let vllm = r#"{"object":"error","message":"This model's maximum context length is 4096 tokens.","type":"BadRequestError","code":400}"#;
        let gemini = r#"[{"error":{"code":400,"message":"The input token count (2) exceeds the maximum number of tokens allowed (1).","status":"INVALID_ARGUMENT"}}]"#;
        let azure = r#"{"error":{"message":"filtered","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#;
        let fastapi = r#"{"detail":[{"loc":["body","messages"],"msg":"field required"}]}"#;
        for (status, body, kind) in [
            (429, "{}", RateLimited),
            (500, "oops", Unavailable),
            (503, "", Unavailable),
            (529, r#"{"error":{"type":"overloaded_error"}}"#, Unavailable),
            (408, "", Unavailable),
            (401, "{}", Unauthorized),
            (403, context, Unauthorized),
            (404, "{}", UnknownModel),
            (400, context, ContextTooLong),
            (400, vllm, ContextTooLong),
            (400, gemini, ContextTooLong),
            (413, r#"{"error":"prompt is too long"}"#, ContextTooLong),
            (400, azure, ContentRefused),
            (422, fastapi, Rejected),
            (400, "{}", Rejected),
            (402, r#"{"error":{"message":"Insufficient credits","code":402}}"#, Unauthorized),
            (302, "", Rejected),
        ] {
            let status_code = StatusCode::from_u16(status).unwrap();
            let error = from_response(status_code, body.as_bytes(), None, Asks::default(), &redactor());
            assert_eq!(error.kind, kind, "{status} {body}");
            assert!(error.detail.starts_with(&status.to_string()));
        }
    }

    #[test]
    fn errors_in_streams_are_sorted() {
        for (body, kind) in [
            (r#"{"error":{"code":"rate_limit_exceeded","message":"slow down"}}"#, RateLimited),
            (r#"{"error":{"code":429,"message":"x"}}"#, RateLimited),
            (r#"[{"error":{"code":8,"status":"RESOURCE_EXHAUSTED"}}]"#, RateLimited),
            (r#"{"error":{"type":"invalid_request_error","code":"context_length_exceeded"}}"#, ContextTooLong),
            (r#"{"error":{"code":"content_policy_violation"}}"#, ContentRefused),
            (r#"{"error":{"type":"server_error","message":"oops"}}"#, Unavailable),
            (r#"{"error":"model runner has unexpectedly stopped"}"#, Unavailable),
        ] {
            assert_eq!(from_event(body.as_bytes(), &redactor()).map(|error| error.kind), Some(kind), "{body}");
        }
        for body in ["{}", r#"{"error":null}"#, "not json", "[]"] {
            assert_eq!(from_event(body.as_bytes(), &redactor()), None, "{body}");
        }
    }

    #[test]
    fn who_takes_no_images_or_tools_is_told_from_who_does_not_like_these() {
        let both = Asks { images: true, tools: true };
        for (status, message, kind) in [
            (400, "Invalid content type. image_url is only supported by certain models.", ImagesNotSupported),
            (400, "m is not a multimodal model", ImagesNotSupported),
            (400, "At most 0 image(s) may be provided in one request.", ImagesNotSupported),
            (404, "No endpoints found that support image input", ImagesNotSupported),
            (500, "image input is not supported - hint: you may need to provide the mmproj", ImagesNotSupported),
            (422, "messages[0]: unknown variant `image_url`, expected `text`", ImagesNotSupported),
            (400, "'messages.0' : content must be a string", ImagesNotSupported),
            (400, "Image input is not enabled for this model", ImagesNotSupported),
            (400, "The image format image/tiff is not supported.", Rejected),
            (400, "Failed to download the image.", Rejected),
            (400, "registry.ollama.ai/library/gemma:2b does not support tools", ToolsNotSupported),
            (404, "No endpoints found that support tool use.", ToolsNotSupported),
            (400, "Invalid schema for function 'f'", Rejected),
            (503, "The model is overloaded.", Unavailable),
        ] {
            let body = serde_json::json!({"error": {"message": message}}).to_string();
            let kind_for = |asks| {
                let status = StatusCode::from_u16(status).unwrap();
                from_response(status, body.as_bytes(), None, asks, &redactor()).kind
            };
            assert_eq!(kind_for(both), kind, "{message}");
            let neither = kind_for(Asks::default());
            assert!(!matches!(neither, ImagesNotSupported | ToolsNotSupported), "{message}");
        }
    }

    #[test]
    fn details_are_bounded_and_free_of_the_key() {
        let body = format!(r#"{{"error":{{"message":"key sk-secret {}"}}}}"#, "x".repeat(5_000));
        let error = from_response(StatusCode::UNAUTHORIZED, body.as_bytes(), None, Asks::default(), &redactor());
        assert!(!error.to_string().contains("sk-secret"), "{error}");
        assert!(error.detail.len() < 500);
    }
}
