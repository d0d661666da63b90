//! The errors of each operation, by status: from the codes that it names, and from those that follow from what it takes.

use std::collections::BTreeMap;

use axum::response::IntoResponse as _;
use futures_util::FutureExt as _;
use http::header;
use http_body_util::{BodyExt as _, Collected};
use serde_json::{Map, Value, json};

use crate::{
    identity::Access,
    limits::overloaded,
    openai,
    problem::{Code, Problem},
    ui_chat::plain_errors,
};

/// Where an operation of the native API says its codes, until the document is finished.
pub(super) const MARK: &str = "x-problems";

/// For the extension `x-problems` of an operation: what it answers with beyond what follows from its description.
pub(crate) fn problems(codes: &[Code]) -> Value {
    codes.iter().map(|code| code.parts().1).collect()
}

/// Any call: what is decided before a handler sees it.
const ALWAYS: [Code; 7] = [
    Code::MalformedRequest,
    Code::HostMissing,
    Code::HostNotAllowed,
    Code::OriginNotAllowed,
    Code::UriTooLong,
    Code::HeadersTooLarge,
    Code::InternalError,
];
/// Any but probes.
const OF_LIMITS: [Code; 2] = [Code::RateLimited, Code::Overloaded];
/// Where a credential is looked at.
const OF_CREDENTIALS: [Code; 5] =
    [Code::Unauthenticated, Code::InvalidCredential, Code::Forbidden, Code::InvalidHeader, Code::Unavailable];
/// Calls with query parameters.
const OF_QUERY: [Code; 2] = [Code::InvalidParameter, Code::DuplicateParameter];
/// Calls with a body.
const OF_BODY: [Code; 7] = [
    Code::InvalidJson,
    Code::InvalidField,
    Code::MissingField,
    Code::UnknownField,
    Code::RequestTimeout,
    Code::BodyTooLarge,
    Code::UnsupportedMediaType,
];
/// Calls with an idempotency key.
const OF_KEY: [Code; 2] = [Code::InvalidHeader, Code::IdempotencyKeyReused];

/// Describes all errors of an operation that names its own.
pub(super) fn describe(path: &str, operation: &mut Map<String, Value>) {
    let Some(Value::Array(named)) = operation.remove(MARK) else { return };
    let mut codes = ALWAYS.to_vec();
    codes.extend(named.iter().filter_map(|word| Code::ALL.iter().find(|code| code.parts().1 == *word)));
    if !path.starts_with("/health") {
        codes.extend(OF_LIMITS);
    }
    if !matches!(Access::of_route(Some(path)), Access::Open | Access::More) {
        codes.extend(OF_CREDENTIALS);
    }
    if path.starts_with("/v1/") {
        codes.push(Code::UnknownParameter);
    }
    let parameters = operation.get("parameters").and_then(Value::as_array).cloned().unwrap_or_default();
    if parameters.iter().any(|parameter| parameter["in"] == "query") {
        codes.extend(OF_QUERY);
    }
    if parameters.iter().any(|parameter| parameter["name"] == "Idempotency-Key") {
        codes.extend(OF_KEY);
    }
    if operation.contains_key("requestBody") {
        codes.extend(OF_BODY);
    }
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in Code::ALL.iter().filter(|code| codes.contains(code)) {
        by_status.entry(code.parts().0.as_u16()).or_default().push(*code);
    }
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { return };
    for (status, codes) in by_status {
        responses.insert(status.to_string(), response(path, &codes));
    }
}

fn response(path: &str, codes: &[Code]) -> Value {
    let lines: Vec<String> = codes.iter().map(|code| format!("`{}`: {}.", code.parts().1, code.parts().2)).collect();
    let is_native = !openai::error::is_spoken_at(path) && !plain_errors::is_spoken_at(path);
    let (mut media_type, mut examples) = (String::from("application/problem+json"), Map::new());
    for code in codes {
        let word = code.parts().1.to_owned();
        let shown = if is_native {
            json!({"$ref": format!("#/components/examples/{word}")})
        } else {
            let (kind, value) = in_words_of(path, example(*code));
            media_type = kind;
            json!({"summary": code.parts().2, "value": value})
        };
        examples.insert(word, shown);
    }
    let schema = match media_type.as_str() {
        "application/problem+json" => json!({"$ref": "#/components/schemas/Problem"}),
        "application/json" => json!({"$ref": "#/components/schemas/OpenAiError"}),
        _ => json!({"type": "string"}),
    };
    let content = json!({media_type: {"schema": schema, "examples": examples}});
    let mut response = json!({"description": lines.join("\n"), "content": content});
    if codes.iter().all(|code| example(*code).retry_after_seconds().is_some()) {
        response["headers"] = json!({"Retry-After": {"$ref": "#/components/headers/RetryAfter"}});
    }
    if codes == [Code::Unauthenticated] {
        response["headers"] = json!({"WWW-Authenticate": {"$ref": "#/components/headers/Challenge"}});
    }
    response
}

/// The media type and the body of a problem where another protocol is spoken: as it is sent.
fn in_words_of(path: &str, problem: Problem) -> (String, Value) {
    let answer = problem.into_response();
    let answer = if openai::error::is_spoken_at(path) {
        openai::error::translate(answer)
    } else {
        plain_errors::translate(answer)
    };
    let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().to_owned();
    // It is in memory, and so here at once.
    let body = answer.into_body().collect().now_or_never().and_then(Result::ok);
    let bytes = body.map(Collected::to_bytes).unwrap_or_default();
    let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
    let value = serde_json::from_slice(&bytes).ok().filter(|_| kind == "application/json").unwrap_or_else(text);
    (kind, value)
}

/// One example for each code.
pub(super) fn examples() -> Value {
    let each = Code::ALL.iter().map(|code| {
        let (_, word, title) = code.parts();
        (word.to_owned(), json!({"summary": title, "value": example(*code).body()}))
    });
    Value::Object(each.collect())
}

/// As a call could get it.
fn example(code: Code) -> Problem {
    let (_, _, title) = code.parts();
    let field =
        |field: &str, detail: &'static str, accepted: &[&str]| Problem::with_field(field, code, detail, accepted);
    match code {
        Code::InvalidField => field("strategy", "must be enqueue, interrupt or reject, or be absent.", &["enqueue"]),
        Code::MissingField => {
            field("content", "is required.", &["a string that is not blank, of at most 262144 bytes"])
        }
        Code::UnknownField => field("contents", "is not a field of this request.", &["content", "model"]),
        Code::InvalidParameter => {
            field("limit", "must be a whole number from 1 to 200.", &["a whole number from 1 to 200"])
        }
        Code::UnknownParameter => field("offset", "is not known to this call.", &["limit", "after"]),
        Code::DuplicateParameter => field("limit", "is given more than once.", &[]),
        Code::InvalidHeader => field("Idempotency-Key", "must be 1 to 255 visible ASCII characters.", &[]),
        Code::UnknownCursor => {
            field("after", "was never handed out for this task.", &["the id of an event of this task"])
        }
        Code::UnsupportedMediaType => field("Content-Type", "the body must be JSON and say so.", &["application/json"]),
        Code::BudgetExhausted => Problem::new(code, "Your budget of tokens for today is used up.")
            .member("budget", "tokens")
            .member("limit", 100_000)
            .member("used", 100_421)
            .member("resets_at", "2026-02-01T00:00:00Z")
            .retry_after(3_600),
        Code::Unauthenticated => {
            let detail =
                "This call needs a credential: a key in `X-API-Key`, or a key or token in `Authorization: Bearer …`.";
            Problem::new(code, detail)
        }
        Code::InvalidCredential => field("X-API-Key", "the key is not known.", &[]),
        Code::Forbidden => {
            field("X-User-Id", "only a key with the scope act-as-users may name the user that it calls for.", &[])
        }
        Code::RateLimited => Problem::new(code, "More than 600 calls of yours in 60 s. Try again in 1 s.")
            .member("limit", 600)
            .member("window_seconds", 60)
            .retry_after(1),
        Code::TooManyTasks => Problem::new(code, "100 of your tasks have not ended. Try again when one has.")
            .member("limit", 100)
            .retry_after(1),
        Code::TooManyStreams => {
            let detail = "100 streams or long-polls of yours are open. Close one, or wait for its end.";
            Problem::new(code, detail).member("limit", 100).retry_after(1)
        }
        Code::Overloaded => overloaded(),
        Code::TooManyQueued => Problem::new(code, "20 messages of the session wait; at most 20 may.").retry_after(1),
        Code::Unavailable => Problem::unavailable(1, ""),
        Code::InternalError => Problem::internal(""),
        Code::StorageFull => Problem::new(code, "Nothing was stored. Try again once there is room.").retry_after(30),
        Code::NotReady => Problem::new(code, "The store does not answer.").retry_after(1),
        Code::TaskNotFound => Problem::task_not_found(),
        Code::SessionNotFound => Problem::session_not_found(),
        _ => Problem::new(code, format!("{title}.")),
    }
}

/// Problem details. The codes are those of the list.
pub(super) fn schemas() -> [(&'static str, Value); 3] {
    let words: Value = Code::ALL.iter().map(|code| code.parts().1).collect();
    [
        ("ProblemCode", json!({"type": "string", "enum": words, "description": "What is wrong, for a program."})),
        (
            "Fault",
            json!({
                "type": "object",
                "description": "What is wrong with one field, parameter or header.",
                "required": ["field", "code", "detail"],
                "properties": {
                    "field": {"type": "string"},
                    "code": {"$ref": "#/components/schemas/ProblemCode"},
                    "detail": {"type": "string"},
                    "accepted": {"type": "array", "items": {"type": "string"}},
                },
            }),
        ),
        (
            "Problem",
            json!({
                "type": "object",
                "description": "Problem details (RFC 9457).",
                "required": ["type", "title", "status", "detail", "code"],
                "properties": {
                    "type": {"type": "string", "format": "uri"},
                    "title": {"type": "string", "description": "What the code means."},
                    "status": {"type": "integer", "minimum": 400, "maximum": 599},
                    "detail": {"type": "string", "description": "What is wrong, for a person."},
                    "code": {"$ref": "#/components/schemas/ProblemCode"},
                    "field": {"type": "string", "description": "The field, parameter or header at fault."},
                    "accepted": {"type": "array", "items": {"type": "string"}, "description": "What is accepted in its place."},
                    "errors": {
                        "type": "array",
                        "minItems": 2,
                        "items": {"$ref": "#/components/schemas/Fault"},
                        "description": "All faults, when there are several; the first one is also told above.",
                    },
                    "budget": {
                        "type": "string",
                        "enum": ["tokens", "micro_usd"],
                        "description": "Of `budget_exhausted`: the budget that is used up.",
                    },
                    "limit": {
                        "type": "integer",
                        "minimum": 0,
                        "description": "What a budget holds, or how much there may be at once or within `window_seconds`.",
                    },
                    "window_seconds": {"type": "integer", "minimum": 1, "description": "Of `rate_limited`: within which time."},
                    "used": {"type": "integer", "minimum": 0, "description": "Of `budget_exhausted`: what was used of it today."},
                    "resets_at": {
                        "type": "string",
                        "format": "date-time",
                        "description": "Of `budget_exhausted`: when it begins anew.",
                    },
                },
            }),
        ),
    ]
}
