//! Tools, images and forms go to the provider in its shape and come back in that of Responses; what is wrong is told by its place.

use parlance_mock_llm::{Behaviour, Script};
use reqwest::Method;
use serde_json::{Value, json};

use super::support::{Responses as _, error};
use crate::support::World;

#[tokio::test]
async fn a_call_goes_to_the_client_and_its_result_to_the_model() {
    let world = World::new(Script::default());
    let server = world.start().await;
    let tool = json!({"type": "function", "name": "weather", "description": null, "strict": true,
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}});
    let question = "look [[mock tokens=3 tool=weather args={\"city\":\"Bern\"} tool=time]]";
    let body = json!({
        "input": question, "tools": [tool], "tool_choice": {"type": "function", "name": "weather"},
        "parallel_tool_calls": false, "stream": true,
    });
    let mut stream = server.open(Method::POST, "/v1/responses", &body).await;
    let (mut events, mut arguments) = (Vec::new(), String::new());
    while let Some(event) = stream.next().await {
        if event["type"] == "response.function_call_arguments.delta" && event["output_index"] == 1 {
            arguments.push_str(event["delta"].as_str().unwrap());
        }
        events.push(event);
    }
    assert_eq!(arguments, "{\"city\":\"Bern\"}");
    let response = events.last().unwrap()["response"].clone();
    let output = response["output"].as_array().unwrap();
    let types: Vec<_> = output.iter().map(|item| item["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["message", "function_call", "function_call"]);
    assert_eq!((&output[1]["name"], &output[1]["arguments"]), (&json!("weather"), &json!(arguments)));
    assert_eq!((&response["tools"], &response["tool_choice"]), (&json!([tool]), &body["tool_choice"]));
    let id = response["id"].as_str().unwrap();
    assert_eq!(server.response(id).await, response);
    for event in &events {
        let rest = server.events(id, event["sequence_number"].as_u64()).await;
        let after = events.iter().filter(|other| other["sequence_number"].as_u64() > event["sequence_number"].as_u64());
        let calls = |event: &&Value| event["item"]["type"] == "function_call";
        let expected: Vec<Value> = after.filter(calls).cloned().collect();
        assert_eq!(rest.iter().filter(calls).cloned().collect::<Vec<_>>(), expected);
    }
    let request = world.turns_asked().remove(0);
    let nested =
        json!({"type": "function", "function": {"name": "weather", "strict": true, "parameters": tool["parameters"]}});
    assert_eq!(request.tools, Some(json!([nested])));
    assert_eq!(request.tool_choice, Some(json!({"type": "function", "function": {"name": "weather"}})));

    let outputs = json!([
        {"type": "function_call_output", "call_id": output[1]["call_id"], "output": "rain"},
        {"type": "function_call_output", "call_id": output[2]["call_id"], "output": "noon"},
    ]);
    let next = server.respond(&json!({"input": outputs, "previous_response_id": id})).await;
    assert_eq!(next["status"], "completed", "{next}");
    let request = world.turns_asked().remove(1);
    let said: Vec<_> = request.messages.iter().map(|message| message.role.as_str()).collect();
    assert_eq!(said[said.len() - 4..], ["user", "assistant", "tool", "tool"]);
    assert_eq!(request.messages.last().unwrap().content, "noon");

    // A client that keeps the conversation itself sends all of it.
    let mut input = vec![json!({"role": "user", "content": question})];
    input.extend(output.iter().cloned());
    input.extend(outputs.as_array().unwrap().iter().cloned());
    server.respond(&json!({"input": input, "store": false})).await;
    let alone = world.turns_asked().remove(2);
    let roles = |request: &parlance_mock_llm::RequestRecord| -> Vec<(String, String)> {
        let told = request.messages.iter().filter(|message| message.role != "system");
        told.map(|message| (message.role.clone(), message.content.clone())).collect()
    };
    assert_eq!(roles(&alone), roles(&request));
}

#[tokio::test]
async fn forms_and_images_reach_the_provider() {
    let world = World::new(Script::always(Behaviour::tokens(3)));
    let server = world.start().await;
    let format = json!({"type": "json_schema", "name": "thing", "strict": true, "description": null, "schema": {"type": "object"}});
    let image = "data:image/png;base64,iVBORw0KGgo=";
    let content = json!([
        {"type": "input_text", "text": "what is this?"},
        {"type": "input_image", "image_url": image, "detail": "low"},
    ]);
    let body = json!({"input": [{"role": "user", "content": content}], "text": {"format": format}});
    let created = server.respond(&body).await;
    assert_eq!(created["text"]["format"], format);
    let request = world.turns_asked().remove(0);
    let nested = json!({"name": "thing", "strict": true, "schema": {"type": "object"}});
    assert_eq!(request.response_format, Some(json!({"type": "json_schema", "json_schema": nested})));
    let parts = json!([
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": image, "detail": "low"}},
    ]);
    assert_eq!(json!(request.messages.last().unwrap().parts), parts);
    let id = created["id"].as_str().unwrap();
    let items = server.get(&format!("/v1/responses/{id}/input_items")).await.expect(200);
    assert_eq!(items["data"][0]["content"], content);
}

#[tokio::test]
async fn each_error_names_its_place_in_openais_shape() {
    let world = World::new(Script::default());
    let server = world.start().await;
    for (body, status, param) in [
        (json!({}), 400, "input"),
        (json!({"input": 5}), 400, "input"),
        (json!({"input": ""}), 400, "input"),
        (json!({"input": "a".repeat(300_000)}), 413, "input"),
        (
            json!({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]}),
            400,
            "input[0].content[0].type",
        ),
        (json!({"input": "a", "tools": [{"type": "web_search"}]}), 400, "tools[0].type"),
        (json!({"input": "a", "tool_choice": "required"}), 400, "tool_choice"),
        (json!({"input": "a", "temperature": 3}), 400, "temperature"),
        (json!({"input": "a", "top_p": "high"}), 400, "top_p"),
        (json!({"input": "a", "max_output_tokens": 0}), 400, "max_output_tokens"),
        (json!({"input": "a", "metadata": {"a": 1}}), 400, "metadata"),
        (json!({"input": "a", "text": {"format": {"type": "xml"}}}), 400, "text.format.type"),
        (json!({"input": "a", "stream": "yes"}), 400, "stream"),
        (json!({"input": "a", "store": 1}), 400, "store"),
        (json!({"input": "a", "model": ""}), 400, "model"),
        (json!({"input": "a", "prompt": {"id": "pmpt_1"}}), 400, "prompt"),
        (json!({"input": "a", "truncation": "some"}), 400, "truncation"),
    ] {
        let refused = server.post("/v1/responses", &body).await;
        let error = error(&refused, status);
        assert_eq!((&error["param"], &error["type"]), (&json!(param), &json!("invalid_request_error")), "{body:.200}");
        assert_eq!(refused.header("x-should-retry"), "false");
    }
    assert_eq!(world.mock.requests().len(), 0);
    for id in ["resp_1", "resp_00000000000070008000000000000000", "tsk_1", "%F0%9F"] {
        let unknown = server.get(&format!("/v1/responses/{id}")).await;
        assert_eq!(error(&unknown, 404)["code"], "response_not_found", "{id}");
    }
    let created = server.respond(&json!({"input": "a"})).await;
    let id = created["id"].as_str().unwrap();
    for (query, param) in [("stream=1", "stream"), ("stream=true&starting_after=-1", "starting_after")] {
        assert_eq!(error(&server.get(&format!("/v1/responses/{id}?{query}")).await, 400)["param"], param);
    }
    let any = format!("/v1/responses/{id}?include[]=reasoning.encrypted_content&include_obfuscation=false&what=ever");
    assert_eq!(server.get(&any).await.expect(200), created);
}

#[tokio::test]
async fn the_same_key_is_the_same_response() {
    let world = World::new(Script::default());
    let server = world.start().await;
    let first = server.respond(&json!({"input": "one"})).await;
    let body = json!({"input": "two", "previous_response_id": first["id"]});
    let once = server.post_with_key("/v1/responses", &body, "key-1").await.expect(200);
    let again = server.post_with_key("/v1/responses", &body, "key-1").await.expect(200);
    assert_eq!(once, again);
    assert_eq!(world.turns_asked().len(), 2);
    let other = server.post_with_key("/v1/responses", &json!({"input": "three"}), "key-1").await;
    assert_eq!(error(&other, 409)["code"], "idempotency_key_reused");
    assert_eq!(other.header("x-should-retry"), "false");
}
