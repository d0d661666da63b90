//! Tools, images and forms of replies are passed through: what the client sends reaches the provider, what the model calls
//! reaches the client.

use parlance_mock_llm::{Behaviour, Fault, Script, expected_reply};
use serde_json::{Value, json};

use crate::support::{Event, World, reply_of};

const QUESTION: &str =
    "look it up [[mock tokens=4 tool=weather args={\"city\":\"Zürich\"} tool=time args={\"zone\":\"CET\"}]]";

fn world(script: Script) -> World {
    World::new(script).with("HEADINGS", "off")
}

fn calls_of(events: &[Event]) -> Vec<Value> {
    events.iter().filter(|event| event.name == "tool_call").map(|event| event.data["tool_call"].clone()).collect()
}

#[tokio::test]
async fn calls_of_tools_come_as_events_after_the_text_and_every_id_resumes() {
    let world = world(Script::default());
    let server = world.start().await;
    let accepted = server.say(None, QUESTION).await;
    let events = server.stream(&accepted.task, None).await.rest().await;
    let calls = calls_of(&events);
    assert_eq!(
        calls,
        [
            json!({"id": "call_mock_0_0", "name": "weather", "arguments": "{\"city\":\"Zürich\"}"}),
            json!({"id": "call_mock_0_1", "name": "time", "arguments": "{\"zone\":\"CET\"}"}),
        ]
    );
    assert_eq!(reply_of(&events), expected_reply(QUESTION, 4));
    let ended = server.ended(&accepted.task).await;
    assert_eq!((&ended["tool_calls"], &ended["finish_reason"]), (&json!(calls), &json!("tool_calls")), "{ended}");
    for seen in 0..events.len() - 1 {
        let rest = server.stream(&accepted.task, Some(&events[seen].id)).await.rest().await;
        let whole = [&events[..=seen], &rest].concat();
        assert_eq!(reply_of(&whole), expected_reply(QUESTION, 4), "after {}", events[seen].id);
        assert_eq!(calls_of(&whole), calls, "after {}", events[seen].id);
        assert_eq!(rest.last(), events.last());
    }
    server.kill();
    let server = world.start().await;
    for seen in 0..events.len() - 1 {
        let rest = server.stream(&accepted.task, Some(&events[seen].id)).await.rest().await;
        assert_eq!(calls_of(&[&events[..=seen], &rest].concat()), calls, "after a restart, {}", events[seen].id);
    }

    // The results go back to the model, with the calls that they answer.
    let results = json!([
        {"tool_call_id": "call_mock_0_0", "content": "rain"},
        {"tool_call_id": "call_mock_0_1", "content": "12:00"}
    ]);
    let path = format!("/v1/sessions/{}/messages", accepted.session);
    let next = server.post(&path, &json!({"tool_results": results})).await.expect(202);
    let ended = server.ended(next["task_id"].as_str().unwrap()).await;
    assert_eq!((&ended["status"], &ended["tool_calls"]), (&json!("completed"), &json!([])), "{ended}");
    let requests = world.mock.requests();
    let said: Vec<_> = requests[1].messages.iter().map(|message| message.role.as_str()).collect();
    assert_eq!(said[said.len() - 4..], ["user", "assistant", "tool", "tool"]);
    let [.., assistant, rain, noon] = &requests[1].messages[..] else { panic!("{requests:?}") };
    let function = json!({"name": "weather", "arguments": "{\"city\":\"Zürich\"}"});
    assert_eq!(assistant.tool_calls[0], json!({"id": "call_mock_0_0", "type": "function", "function": function}));
    assert_eq!((rain.tool_call_id.as_deref(), rain.content.as_str()), (Some("call_mock_0_0"), "rain"));
    assert_eq!((noon.tool_call_id.as_deref(), noon.content.as_str()), (Some("call_mock_0_1"), "12:00"));
}

#[tokio::test]
async fn a_reply_of_calls_alone_is_a_reply() {
    let world = world(Script::default());
    let server = world.start().await;
    let accepted = server.say(None, "just call [[mock tokens=0 tool=now]]").await;
    let events = server.stream(&accepted.task, None).await.rest().await;
    let mut names: Vec<_> = events.iter().map(|event| event.name.as_str()).collect();
    // Whoever comes early is told of the wait as well.
    names.dedup();
    assert_eq!(names, ["status", "tool_call", "done"]);
    let ended = server.ended(&accepted.task).await;
    assert_eq!((&ended["status"], &ended["reply"]["content"]), (&json!("completed"), &json!("")), "{ended}");
}

#[tokio::test]
async fn parts_tools_and_the_form_reach_the_provider_as_they_came() {
    let world = world(Script::always(Behaviour::tokens(3)));
    let server = world.start().await;
    let image =
        json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}});
    let content = json!([{"type": "text", "text": "what is this?"}, image]);
    let tools = json!([{"type": "function", "function": {
        "name": "look", "description": "Looks.", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}
    }}]);
    let form = json!({"type": "json_schema", "json_schema": {"name": "thing", "strict": true, "schema": {
        "type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"], "additionalProperties": false
    }}});
    let body = json!({"content": content, "tools": tools, "tool_choice": "required", "response_format": form});
    let accepted = server.post("/v1/messages", &body).await.expect(202);
    assert_eq!(server.ended(accepted["task_id"].as_str().unwrap()).await["status"], "completed");
    let request = world.mock.requests().remove(0);
    assert_eq!(json!(request.messages.last().unwrap().parts), content);
    assert_eq!(request.tools, Some(tools));
    assert_eq!(request.tool_choice, Some(json!("required")));
    assert_eq!(request.response_format, Some(form));
}

#[tokio::test]
async fn a_model_that_takes_no_images_or_tools_says_so() {
    let image = json!([{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]);
    let tools = json!([{"type": "function", "function": {"name": "look"}}]);
    let with_image = json!({"content": image});
    let with_tools = json!({"content": "look", "tools": tools});
    for (script, name, value, body, code, asked) in [
        (
            Script::always(Behaviour::fault(Fault::NoImages)),
            "LLM_IMAGES",
            "auto",
            &with_image,
            "images_not_supported",
            1,
        ),
        (Script::default(), "LLM_IMAGES", "no", &with_image, "images_not_supported", 0),
        (Script::always(Behaviour::fault(Fault::NoTools)), "LLM_TOOLS", "auto", &with_tools, "tools_not_supported", 1),
        (Script::default(), "LLM_TOOLS", "no", &with_tools, "tools_not_supported", 0),
    ] {
        let world = world(script).with(name, value);
        let server = world.start().await;
        let accepted = server.post("/v1/messages", body).await.expect(202);
        let ended = server.ended(accepted["task_id"].as_str().unwrap()).await;
        assert_eq!(
            (&ended["status"], &ended["error"]["code"]),
            (&json!("failed"), &json!(code)),
            "{name}={value}: {ended}"
        );
        assert_eq!(ended["error"]["retryable"], false);
        assert_eq!(world.mock.requests().len(), asked, "{name}={value}");
    }
}
