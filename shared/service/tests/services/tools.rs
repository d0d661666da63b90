//! Tools, images and forms of replies are passed through between processes: to the provider, and from it to the client.

use parlance_mock_llm::{Behaviour, Fault, Script, expected_reply};
use serde_json::{Value, json};

use crate::support::{World, reply_of};

const QUESTION: &str =
    "look it up [[mock tokens=4 tool=weather args={\"city\":\"Zürich\"} tool=time args={\"zone\":\"CET\"}]]";

#[tokio::test]
async fn calls_of_tools_come_as_events_and_their_results_go_back() {
    let Some(world) = World::new(Script::default()).await else { return };
    let world = world.with("HEADINGS", "off");
    let (ingest, _worker, _persist) = world.all().await;
    let accepted = ingest.say(None, QUESTION).await;
    let events = ingest.stream(&accepted.task, None).await.rest().await;
    let called = |event: &crate::support::Event| (event.name == "tool_call").then(|| event.data["tool_call"].clone());
    let calls: Vec<Value> = events.iter().filter_map(called).collect();
    assert_eq!(
        calls,
        [
            json!({"id": "call_mock_0_0", "name": "weather", "arguments": "{\"city\":\"Zürich\"}"}),
            json!({"id": "call_mock_0_1", "name": "time", "arguments": "{\"zone\":\"CET\"}"}),
        ]
    );
    assert_eq!(reply_of(&events), expected_reply(QUESTION, 4));
    let ended = ingest.completed(&accepted.task).await;
    assert_eq!((&ended["tool_calls"], &ended["finish_reason"]), (&json!(calls), &json!("tool_calls")), "{ended}");
    // On another instance, after any event: exactly the rest.
    let another = world.ingest().await;
    for seen in 0..events.len() - 1 {
        let rest = another.stream(&accepted.task, Some(&events[seen].id)).await.rest().await;
        let whole = [&events[..=seen], &rest].concat();
        assert_eq!(reply_of(&whole), expected_reply(QUESTION, 4), "after {}", events[seen].id);
        assert_eq!(whole.iter().filter_map(called).collect::<Vec<_>>(), calls, "after {}", events[seen].id);
    }

    let results = json!([
        {"tool_call_id": "call_mock_0_0", "content": "rain"},
        {"tool_call_id": "call_mock_0_1", "content": "12:00"}
    ]);
    let path = format!("/v1/sessions/{}/messages", accepted.session);
    let next = ingest.post(&path, &json!({"tool_results": results})).await.expect(202);
    ingest.completed(next["task_id"].as_str().unwrap()).await;
    let requests = world.mock.requests();
    let [.., assistant, rain, noon] = &requests[1].messages[..] else { panic!("{requests:?}") };
    assert_eq!(assistant.tool_calls[1]["function"], json!({"name": "time", "arguments": "{\"zone\":\"CET\"}"}));
    assert_eq!((rain.role.as_str(), rain.tool_call_id.as_deref()), ("tool", Some("call_mock_0_0")));
    assert_eq!((noon.content.as_str(), noon.tool_call_id.as_deref()), ("12:00", Some("call_mock_0_1")));
}

#[tokio::test]
async fn parts_tools_and_the_form_reach_the_provider_as_they_came_or_are_refused_clearly() {
    let script = Script::choose(|request| match request.last_user_text.contains("blind") {
        true => Behaviour::fault(Fault::NoImages),
        false => Behaviour::tokens(3),
    });
    let Some(world) = World::new(script).await else { return };
    let world = world.with("HEADINGS", "off");
    let (ingest, _worker, _persist) = world.all().await;
    let image = json!({"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}});
    let content = json!([{"type": "text", "text": "what is this?"}, image]);
    let tools = json!([{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]);
    let form = json!({"type": "json_schema", "json_schema": {"name": "thing", "schema": {"type": "object"}}});
    let body = json!({"content": content, "tools": tools, "tool_choice": "auto", "response_format": form});
    let accepted = ingest.post("/v1/messages", &body).await.expect(202);
    ingest.completed(accepted["task_id"].as_str().unwrap()).await;
    let request = world.mock.requests().remove(0);
    assert_eq!(json!(request.messages.last().unwrap().parts), content);
    assert_eq!((request.tools, request.tool_choice), (Some(tools), Some(json!("auto"))));
    assert_eq!(request.response_format, Some(form));

    let blind = json!({"content": [{"type": "text", "text": "you are blind"}, image]});
    let accepted = ingest.post("/v1/messages", &blind).await.expect(202);
    let ended = ingest.ended(accepted["task_id"].as_str().unwrap()).await;
    assert_eq!((&ended["status"], &ended["error"]["code"]), (&json!("failed"), &json!("images_not_supported")));
}
