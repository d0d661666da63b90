use parlance_shared::{
    MessageId,
    content::{ImageUrl, ToolCall, ToolResult},
    id::PrefixedId as _,
};
use serde_json::json;
use uuid::Uuid;

use super::*;

fn message(n: u128, role: Role, content: &str) -> Message {
    Message {
        id: MessageId::from_uuid(Uuid::from_u128(n)),
        session_id: SessionId::from_uuid(Uuid::nil()),
        task_id: TaskId::from_uuid(Uuid::nil()),
        role,
        content: content.to_owned(),
        status: Status::Completed,
        usage: None,
        timings: None,
        created_at: DateTime::UNIX_EPOCH,
        parts: Vec::new(),
        tool_results: Vec::new(),
        tool_calls: Vec::new(),
        superseded_by: None,
    }
}

fn parts(messages: Vec<Message>) -> Vec<Value> {
    let all = assemble(messages);
    all.iter().map(|message| serde_json::to_value(&message.parts).unwrap()).collect()
}

#[test]
fn text_and_images_are_parts() {
    let mut image = message(1, Role::User, "see");
    let url = "data:image/png;base64,AAAA".to_owned();
    image.parts = vec![
        ContentPart::Text { text: "see".to_owned() },
        ContentPart::ImageUrl { image_url: ImageUrl { url: url.clone(), detail: None } },
    ];
    let all = parts(vec![image, message(2, Role::Assistant, "A cat.")]);
    let said = json!([{"type": "text", "text": "see"}, {"type": "file", "mediaType": "image/png", "url": url}]);
    assert_eq!(all, [said, json!([{"type": "step-start"}, {"type": "text", "text": "A cat."}])]);
}

#[test]
fn a_reply_that_went_on_after_its_tools_is_one_message() {
    let mut calls = message(2, Role::Assistant, "");
    let call = |id: &str| ToolCall { id: id.to_owned(), name: "look".to_owned(), arguments: "{\"a\":1}".to_owned() };
    calls.tool_calls = vec![call("c1"), call("c2")];
    let mut results = message(3, Role::User, "");
    let result = |id: &str, content: &str| ToolResult { tool_call_id: id.to_owned(), content: content.to_owned() };
    results.tool_results = vec![result("c2", "plain"), result("c1", "{\"b\":2}")];
    let all = assemble(vec![message(1, Role::User, "hi"), calls, results, message(4, Role::Assistant, "so")]);
    assert_eq!(all.len(), 2);
    assert_eq!(all[1].id, MessageId::from_uuid(Uuid::from_u128(2)).to_string(), "the id of its first step");
    let tool = |id: &str, output: Value| {
        let state = "output-available";
        json!({"type": "tool-look", "toolCallId": id, "state": state, "input": {"a": 1}, "output": output})
    };
    let expected = json!([
        {"type": "step-start"},
        tool("c1", json!({"b": 2})),
        tool("c2", json!("plain")),
        {"type": "step-start"},
        {"type": "text", "text": "so"},
    ]);
    assert_eq!(serde_json::to_value(&all[1].parts).unwrap(), expected);
}

#[test]
fn a_turn_without_a_word_is_left_out_and_a_call_without_a_result_waits() {
    let mut calls = message(3, Role::Assistant, "");
    calls.tool_calls = vec![ToolCall { id: "c".to_owned(), name: "f".to_owned(), arguments: "{".to_owned() }];
    let silent = message(2, Role::Assistant, "");
    let all = parts(vec![message(1, Role::User, "hi"), silent, calls]);
    assert_eq!(all.len(), 2);
    let waits = json!({"type": "tool-f", "toolCallId": "c", "state": "input-available", "input": "{"});
    assert_eq!(all[1][1], waits);
}
