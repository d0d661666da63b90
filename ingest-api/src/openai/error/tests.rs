use http_body_util::BodyExt as _;
use parlance_shared::{TaskId, id::PrefixedId as _, port::llm::LlmErrorKind, task::TaskError};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::{problem::Problem, validate::Faults};

async fn told(problem: Problem) -> (u16, Value, String) {
    let response = translate(problem.into_response());
    assert_eq!(response.headers()["content-type"], "application/json");
    let retry = response.headers()["x-should-retry"].to_str().unwrap().to_owned();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap(), retry)
}

#[tokio::test]
async fn problems_get_openais_shape() {
    let mut faults = Faults::default();
    faults.add("messages[0].role", Code::InvalidField, "must be a role.", &["user", "system"]);
    faults.add("n", Code::InvalidField, "must be 1.", &["1"]);
    let (status, body, retry) = told(faults.into_result().unwrap_err()).await;
    let message = "messages[0].role: must be a role. n: must be 1. Accepted: user, system.";
    let error = json!({
        "message": message, "type": "invalid_request_error", "param": "messages[0].role", "code": "invalid_field"
    });
    assert_eq!((status, body, retry.as_str()), (400, json!({"error": error}), "false"));
}

#[tokio::test]
async fn each_status_has_its_type_and_says_whether_to_retry() {
    for (problem, status, kind, retry) in [
        (Problem::new(Code::BodyTooLarge, "x"), 413, "invalid_request_error", "false"),
        (Problem::new(Code::TaskNotFound, "x"), 404, "invalid_request_error", "false"),
        (Problem::new(Code::HostNotAllowed, "x"), 403, "permission_error", "false"),
        (Problem::new(Code::IdempotencyKeyReused, "x"), 409, "invalid_request_error", "false"),
        (Problem::new(Code::SessionBusy, "x"), 409, "invalid_request_error", "true"),
        (Problem::new(Code::RequestTimeout, "x"), 408, "invalid_request_error", "true"),
        (Problem::new(Code::TooManyQueued, "x"), 429, "rate_limit_error", "true"),
        (Problem::new(Code::BudgetExhausted, "x"), 429, "insufficient_quota", "false"),
        (Problem::internal("x"), 500, "server_error", "true"),
        (Problem::unavailable(1, "x"), 503, "server_error", "true"),
    ] {
        let (got, body, should_retry) = told(problem).await;
        let expected = (status, kind, retry);
        assert_eq!((got, body["error"]["type"].as_str().unwrap(), should_retry.as_str()), expected, "{body}");
        assert_eq!(body["error"]["param"], Value::Null);
    }
}

#[test]
fn other_answers_and_other_paths_are_left_alone() {
    let fine = translate((StatusCode::OK, "x").into_response());
    assert!(!fine.headers().contains_key("x-should-retry"));
    for (path, spoken) in [
        ("/v1/models", true),
        ("/v1/models/a/b", true),
        ("/v1/chat/completions", true),
        ("/v1/responses/resp_1/cancel", true),
        ("/v1/modelsx", false),
        ("/v1/messages", false),
        ("/", false),
    ] {
        assert_eq!(is_spoken_at(path), spoken, "{path}");
    }
}

fn failed(code: &str, retryable: bool) -> Task {
    let mut task = Task::queued(TaskId::from_uuid(Uuid::now_v7()));
    task.status = Status::Failed;
    task.error = Some(TaskError { code: code.to_owned(), message: "No.".to_owned(), retryable });
    task
}

#[test]
fn every_failure_of_a_provider_has_a_status() {
    use LlmErrorKind as Kind;
    for (kind, status, code) in [
        (Kind::Unreachable, 502, "provider_unreachable"),
        (Kind::Unavailable, 502, "provider_unavailable"),
        (Kind::RateLimited, 429, "rate_limit_exceeded"),
        (Kind::FirstTokenTimeout, 504, "provider_first_token_timeout"),
        (Kind::Stalled, 504, "provider_stalled"),
        (Kind::ReplyTimeout, 504, "provider_reply_timeout"),
        (Kind::StreamCut, 502, "provider_stream_cut"),
        (Kind::BadResponse, 502, "provider_bad_response"),
        (Kind::EmptyReply, 502, "provider_empty_reply"),
        (Kind::ReplyTooLong, 502, "reply_too_long"),
        (Kind::Unauthorized, 502, "provider_unauthorized"),
        (Kind::UnknownModel, 404, "model_not_found"),
        (Kind::Rejected, 400, "provider_rejected"),
        (Kind::ContextTooLong, 400, "context_length_exceeded"),
        (Kind::ContentRefused, 400, "content_filter"),
        (Kind::ImagesNotSupported, 400, "images_not_supported"),
        (Kind::ToolsNotSupported, 400, "tools_not_supported"),
    ] {
        let error = OpenAiError::of_task(&failed(kind.code(), kind.is_retryable()));
        assert_eq!((error.status.as_u16(), &*error.body.code), (status, code));
        assert_eq!(error.should_retry, kind.is_retryable(), "{code}");
    }
    let own = OpenAiError::of_task(&failed(codes::WORKER_LOST, true));
    assert_eq!((own.status.as_u16(), &*own.body.code), (500, "worker_lost"));
    assert_eq!(OpenAiError::of_task(&failed(codes::BUDGET_EXHAUSTED, true)).body.kind, "insufficient_quota");
}
