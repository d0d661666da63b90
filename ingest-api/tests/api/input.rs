//! What a message may hold beyond its text: taken whole, or refused by its place.

use parlance_shared::{
    SessionId,
    content::{ContentPart, ToolCall, ToolResult, TurnInput},
    event::{MessageSubmitted, from_cloud_event},
    task::Status,
};
use serde_json::{Value, json};

use crate::support::App;

const IMAGE: &str = "data:image/png;base64,aGVsbG8=";

fn image(url: &str) -> Value {
    json!({"type": "image_url", "image_url": {"url": url}})
}

async fn submitted(app: &App) -> MessageSubmitted {
    from_cloud_event(&app.event().await).unwrap()
}

#[tokio::test]
async fn everything_that_is_given_is_published_and_read_back() {
    let app = App::start().await;
    let session: SessionId = app.mint.mint(&app.user);
    let path = format!("/v1/sessions/{session}/messages");
    let tools = json!([{"type": "function", "function": {"name": "weather"}}]);
    let parts = json!([
        {"type": "text", "text": "What"},
        image(IMAGE),
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
        {"type": "text", "text": "is this?"},
    ]);
    let body = json!({
        "content": parts, "tools": tools, "tool_choice": "auto", "response_format": {"type": "json_object"},
        "tool_results": [{"tool_call_id": "c1", "content": "rain"}],
    });
    assert_eq!(app.post(&path, &body).await.status, 202);
    let message = submitted(&app).await;
    assert_eq!(message.content, "What\nis this?");
    assert_eq!(json!(message.input.parts), parts);
    let tool_results = vec![ToolResult { tool_call_id: "c1".into(), content: "rain".into() }];
    let expected = TurnInput {
        parts: message.input.parts.clone(),
        tool_results,
        tools: Some(tools),
        tool_choice: Some(json!("auto")),
        response_format: Some(json!({"type": "json_object"})),
        ..TurnInput::default()
    };
    assert_eq!(message.input, expected);

    app.record(&message).await;
    let attempt = app.claim(&message).await;
    let mut task = app.end(attempt, Status::Completed).await;
    task.details.tool_calls = vec![ToolCall { id: "c2".into(), name: "weather".into(), arguments: "{}".into() }];
    app.persist_end(task).await;
    let page = app.get(&path).await.json();
    let (asked, answered) = (&page["data"][0], &page["data"][1]);
    assert_eq!((&asked["parts"], &asked["content"]), (&parts, &json!("What\nis this?")));
    assert_eq!(asked["tool_results"], json!([{"tool_call_id": "c1", "content": "rain"}]));
    assert_eq!(answered["tool_calls"], json!([{"id": "c2", "name": "weather", "arguments": "{}"}]));
    let has = |message: &Value, field: &str| message.as_object().unwrap().contains_key(field);
    assert!(!has(asked, "tool_calls") && !has(answered, "parts") && !has(asked, "superseded_by"), "{page}");
}

#[tokio::test]
async fn parts_of_text_alone_are_a_plain_message() {
    let app = App::start().await;
    let parts = json!([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]);
    assert_eq!(app.post("/v1/messages", &json!({"content": parts})).await.status, 202);
    let message = submitted(&app).await;
    assert_eq!((message.content.as_str(), message.input.is_plain()), ("one\ntwo", true));
}

#[tokio::test]
async fn results_of_tools_and_images_need_no_words() {
    let app = App::start().await;
    let results = json!([{"tool_call_id": "c1", "content": "rain"}]);
    for body in [
        json!({"tool_results": results}),
        json!({"content": "", "tool_results": results}),
        json!({"content": null, "tool_results": results}),
        json!({"content": [image(IMAGE)]}),
    ] {
        assert_eq!(app.post("/v1/messages", &body).await.status, 202, "{body}");
        let message = submitted(&app).await;
        assert_eq!(message.content, "");
        assert!(message.input.parts.iter().all(|part| matches!(part, ContentPart::ImageUrl { .. })));
    }
}

#[tokio::test]
async fn what_is_wrong_is_named_by_its_place() {
    let app = App::start_with(|state| state.limits.data_uri_bytes = 40).await;
    let long = format!("data:image/png;base64,{}", "aGVs".repeat(9));
    for (body, status, code, field) in [
        (json!({"content": []}), 400, "invalid_field", "content"),
        (json!({"content": {"text": "a"}}), 400, "invalid_field", "content"),
        (json!({"content": true}), 400, "invalid_field", "content"),
        (json!({"content": ["a"]}), 400, "invalid_field", "content[0]"),
        (json!({"content": [{"type": "text"}]}), 400, "missing_field", "content[0].text"),
        (json!({"content": [image(IMAGE), {"type": "video"}]}), 400, "invalid_field", "content[1].type"),
        (json!({"content": [image("ftp://example.com")]}), 400, "invalid_field", "content[0].image_url.url"),
        (json!({"content": [image(&long)]}), 413, "content_too_large", "content[0].image_url.url"),
        (
            json!({"content": " ", "tool_results": [{"tool_call_id": "c", "content": ""}]}),
            400,
            "invalid_field",
            "content",
        ),
        (json!({"content": "a", "tool_results": []}), 400, "invalid_field", "tool_results"),
        (json!({"tool_results": [{"content": "a"}]}), 400, "missing_field", "tool_results[0].tool_call_id"),
        (json!({"content": "a", "tools": {}}), 400, "invalid_field", "tools"),
        (json!({"content": "a", "tools": [{}]}), 400, "invalid_field", "tools[0].type"),
        (json!({"content": "a", "tool_choice": []}), 400, "invalid_field", "tool_choice"),
        (json!({"content": "a", "response_format": "json"}), 400, "invalid_field", "response_format"),
        (json!({"content": "a", "edits": "msg_1"}), 400, "invalid_field", "edits"),
        (json!({"content": "a", "edits": 1}), 400, "invalid_field", "edits"),
    ] {
        let problem = app.post("/v1/messages", &body).await.problem(status, code);
        assert_eq!(problem["field"], field, "{problem}");
        assert!(!problem["accepted"].as_array().unwrap().is_empty(), "{problem}");
    }
    let problem = app.post("/v1/messages", &json!({"content": [image(&long)]})).await.json();
    assert!(problem["accepted"].to_string().contains("at most 40 bytes"), "{problem}");
    app.assert_no_event().await;
}

#[tokio::test]
async fn another_input_under_the_same_key_is_another_request() {
    let app = App::start().await;
    let body = |url: &str| json!({"content": [{"type": "text", "text": "a"}, image(url)]});
    let first = app.post_with_key("/v1/messages", "k", &body("https://example.com/a")).await;
    assert_eq!(first.status, 202);
    let again = app.post_with_key("/v1/messages", "k", &body("https://example.com/a")).await;
    assert_eq!(again.json(), first.json());
    let other = app.post_with_key("/v1/messages", "k", &body("https://example.com/b")).await;
    other.problem(409, "idempotency_key_reused");
}

/// An image is as large as the setting lets it be, whatever else the body holds.
#[tokio::test]
async fn the_largest_image_fits_beside_the_longest_text() {
    let app = App::start().await;
    let head = "data:image/png;base64,";
    let room = (app.state.limits.data_uri_bytes - head.len()) / 4;
    let url = format!("{head}{}", "aGVs".repeat(room));
    let body = json!({"content": [image(&url), {"type": "text", "text": "x".repeat(256 * 1024)}]});
    assert_eq!(app.post("/v1/messages", &body).await.status, 202);
    assert_eq!(json!(submitted(&app).await.input.parts[0]), image(&url));
}
