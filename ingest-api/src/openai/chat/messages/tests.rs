use serde_json::json;

use super::*;

fn read(messages: Value) -> (Conversation, Vec<String>) {
    let mut faults = Faults::default();
    let read = conversation(&mut faults, Some(messages), 1_024, true);
    (read, faults.fields())
}

#[track_caller]
fn fine(messages: Value) -> Conversation {
    let (read, faults) = read(messages);
    assert_eq!(faults, [""; 0]);
    read
}

fn said(role: PromptRole, text: &str) -> PromptMessage {
    PromptMessage::text(role, text)
}

fn call(id: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": "look", "arguments": "{\"at\":1}"}, "index": 0})
}

#[test]
fn the_last_user_message_is_new_and_all_before_it_is_history() {
    let read = fine(json!([
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Be"}, {"type": "text", "text": "kind."}]},
        {"role": "user", "content": "hi", "name": "Ada"},
        {"role": "assistant", "content": "hello", "reasoning_content": "…", "tool_calls": null},
        {"role": "user", "content": [{"type": "text", "text": "and", "cache_control": {}}, {"type": "text", "text": "now?"}]},
    ]));
    let history = vec![
        said(PromptRole::System, "Be brief."),
        said(PromptRole::System, "Be\nkind."),
        said(PromptRole::User, "hi"),
        said(PromptRole::Assistant, "hello"),
    ];
    let expected = Conversation { history, content: "and\nnow?".to_owned(), ..Conversation::default() };
    assert_eq!(read, expected);
}

#[test]
fn results_of_tools_are_new_with_what_the_user_says_to_them() {
    let question = json!({"role": "user", "content": "look"});
    let calling = json!({"role": "assistant", "content": null, "tool_calls": [call("a"), call("b")]});
    let result = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": format!("of {id}"), "name": "look"});
    let result_of = |id: &str| ToolResult { tool_call_id: id.to_owned(), content: format!("of {id}") };
    let read = fine(json!([question, calling, result("a"), result("b")]));
    let tool_call =
        |id: &str| ToolCall { id: id.to_owned(), name: "look".to_owned(), arguments: "{\"at\":1}".to_owned() };
    let called = PromptMessage { tool_calls: vec![tool_call("a"), tool_call("b")], ..said(PromptRole::Assistant, "") };
    assert_eq!(read.history, [said(PromptRole::User, "look"), called]);
    assert_eq!((read.content.as_str(), &read.tool_results), ("", &vec![result_of("a"), result_of("b")]));

    let read = fine(json!([question, calling, result("b"), {"role": "user", "content": "well?"}]));
    assert_eq!((read.content.as_str(), read.tool_results), ("well?", vec![result_of("b")]));

    let read =
        fine(json!([question, calling, result("a"), result("b"), {"role": "assistant", "content": "c"}, question]));
    assert_eq!((read.history.len(), read.tool_results.len()), (5, 0));
    let answer = PromptMessage { tool_call_id: Some("a".to_owned()), ..said(PromptRole::Tool, "of a") };
    assert_eq!(read.history[2], answer);
}

#[test]
fn images_stay_where_they_are() {
    let image =
        json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVs", "detail": "low", "x": 1}});
    let read = fine(json!([
        {"role": "user", "content": [{"type": "text", "text": "this?"}, image]},
        {"role": "assistant", "content": "a cat"},
        {"role": "user", "content": [image]},
    ]));
    assert_eq!((read.history[0].parts.len(), read.history[0].content.as_str()), (2, "this?"));
    assert_eq!((read.parts.len(), read.content.as_str()), (1, ""));
}

#[test]
fn each_fault_names_its_place() {
    let user = |content: Value| json!([{"role": "user", "content": content}]);
    let assistant =
        |call: Value| json!([{"role": "assistant", "tool_calls": [call]}, {"role": "user", "content": "a"}]);
    for (messages, field) in [
        (json!("hi"), "messages"),
        (json!([]), "messages"),
        (json!(["hi"]), "messages[0]"),
        (json!([{"content": "a"}]), "messages[0].role"),
        (json!([{"role": "function", "content": "a"}]), "messages[0].role"),
        (user(Value::Null), "messages[0].content"),
        (user(json!(5)), "messages[0].content"),
        (user(json!("")), "messages[0].content"),
        (user(json!("a\0")), "messages[0]"),
        (user(json!([])), "messages[0].content"),
        (user(json!([{"type": "input_audio", "input_audio": {}}])), "messages[0].content[0].type"),
        (user(json!([{"type": "text"}])), "messages[0].content[0].text"),
        (user(json!([{"type": "image_url", "image_url": "x"}])), "messages[0].content[0].image_url"),
        (
            user(json!([{"type": "image_url", "image_url": {"url": "http://a.b/c"}}])),
            "messages[0].content[0].image_url.url",
        ),
        (json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]), "messages[1].content"),
        (json!([{"role": "system", "content": [{"type": "image_url"}]}]), "messages[0].content[0].type"),
        (json!([{"role": "tool", "content": "a"}]), "messages[0].tool_call_id"),
        (json!([{"role": "tool", "content": "a", "tool_call_id": "c"}]), "messages[0].tool_call_id"),
        (assistant(json!({"id": "a", "type": "custom"})), "messages[0].tool_calls[0].type"),
        (assistant(json!({"type": "function"})), "messages[0].tool_calls[0].id"),
        (assistant(json!({"id": "a", "function": {}})), "messages[0].tool_calls[0].function.name"),
        (assistant(json!({"id": "a", "function": {"name": "f"}})), "messages[0].tool_calls[0].function.arguments"),
    ] {
        assert_eq!(read(messages.clone()).1, [field], "{messages:.100}");
    }
    let mut faults = Faults::default();
    conversation(&mut faults, None, 0, true);
    assert_eq!(faults.fields(), ["messages"]);
}

#[test]
fn in_a_session_results_may_answer_what_the_session_remembers() {
    let mut faults = Faults::default();
    let result = json!([{"role": "tool", "content": "a", "tool_call_id": "c"}]);
    let read = conversation(&mut faults, Some(result), 0, false);
    assert!(faults.is_empty());
    assert_eq!(read.tool_results.len(), 1);
}
