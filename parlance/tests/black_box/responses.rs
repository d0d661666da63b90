//! `/v1/responses` of the whole process: what is asked reaches the provider, what was said streams again from any number.

mod chain;
mod support;
mod tools;

use parlance_mock_llm::{Behaviour, Fault, Script, expected_reply};
use reqwest::Method;
use serde_json::{Value, json};

use self::support::{Responses as _, error, kinds, text_of};
use crate::support::World;

const QUESTION: &str = "hello [[mock tokens=40 delay_ms=5]]";

#[tokio::test]
async fn a_response_is_answered_and_fetched_again() {
    let world = World::new(Script::default());
    let server = world.start().await;
    let body = json!({
        "model": "some-model", "input": "hello [[mock tokens=6]]", "instructions": "Be brief.", "temperature": 0.5,
        "max_output_tokens": 50, "metadata": {"topic": "greeting"}, "what_is_this": 1,
    });
    let created = server.respond(&body).await;
    let words = expected_reply("hello [[mock tokens=6]]", 6);
    assert_eq!((&created["object"], &created["status"]), (&json!("response"), &json!("completed")), "{created}");
    assert_eq!(created["output"][0]["content"][0]["text"], json!(words));
    assert_eq!((&created["instructions"], &created["temperature"]), (&json!("Be brief."), &json!(0.5)));
    assert_eq!((&created["metadata"], &created["store"]), (&json!({"topic": "greeting"}), &json!(true)));
    let usage = &created["usage"];
    let sum = usage["input_tokens"].as_u64().unwrap() + usage["output_tokens"].as_u64().unwrap();
    assert_eq!(usage["total_tokens"], sum);
    assert_eq!(usage["output_tokens_details"], json!({"reasoning_tokens": 0}));
    let request = world.turns_asked().remove(0);
    assert_eq!(request.messages[0].content, "Be brief.");
    let id = created["id"].as_str().unwrap().to_owned();
    assert_eq!(server.response(&id).await, created);

    // Ids arrive percent-encoded.
    assert_eq!(server.response(&id.replace('_', "%5F")).await, created);
    let items = server.get(&format!("/v1/responses/{id}/input_items")).await.expect(200);
    assert_eq!(items["data"][0]["content"], json!([{"type": "input_text", "text": "hello [[mock tokens=6]]"}]));
    assert_eq!((&items["has_more"], &items["first_id"]), (&json!(false), &items["last_id"]));
    server.kill();
    let server = world.start().await;
    assert_eq!(server.response(&id).await, created, "after a restart");
}

#[tokio::test]
async fn a_background_response_streams_again_from_any_number_after_a_restart() {
    let world = World::new(Script::default());
    let server = world.start().await;
    let queued = server.respond(&json!({"input": QUESTION, "background": true})).await;
    assert_eq!((&queued["status"], &queued["output"]), (&json!("queued"), &json!([])));
    let id = queued["id"].as_str().unwrap();
    let all = server.events(id, None).await;
    assert_eq!(
        kinds(&all)[..4],
        ["created", "queued", "in_progress", "output_item.added"].map(|k| format!("response.{k}"))
    );
    assert_eq!(all[0]["sequence_number"], 0);
    assert!(all.windows(2).all(|two| two[0]["sequence_number"].as_u64() < two[1]["sequence_number"].as_u64()));
    let words = expected_reply(QUESTION, 40);
    assert_eq!(text_of(&all), words);
    let fetched = server.response(id).await;
    assert_eq!(all.last().unwrap()["response"], fetched);
    assert!(all.len() > 20, "it came in pieces: {}", all.len());

    server.kill();
    let server = world.start().await;
    assert_eq!(server.response(id).await, fetched);
    for seen in 0..all.len() {
        let rest = server.events(id, all[seen]["sequence_number"].as_u64()).await;
        assert!(rest.iter().all(|event| event["sequence_number"].as_u64() > all[seen]["sequence_number"].as_u64()));
        assert_eq!(text_of(&all[..=seen]) + &text_of(&rest), words, "after {}", all[seen]);
        assert_eq!(rest.is_empty(), seen + 1 == all.len());
        assert!(rest.is_empty() || rest.last() == all.last());
    }
    let beyond = server.get(&format!("/v1/responses/{id}?stream=true&starting_after={}", (1_u64 << 32) + 9_999)).await;
    assert_eq!(error(&beyond, 400)["param"], "starting_after");
}

#[tokio::test]
async fn a_stream_that_is_cut_goes_on_while_the_reply_runs() {
    let world = World::new(Script::default());
    let server = world.start().await;
    let mut stream = server.open(Method::POST, "/v1/responses", &json!({"input": QUESTION, "stream": true})).await;
    let mut events = Vec::new();
    while text_of(&events).is_empty() {
        events.push(stream.next().await.unwrap());
    }
    drop(stream);
    let id = events[0]["response"]["id"].as_str().unwrap().to_owned();
    assert_eq!(events[0]["response"]["status"], "in_progress");
    loop {
        let seen = events.last().unwrap()["sequence_number"].as_u64().unwrap();
        let path = format!("/v1/responses/{id}?stream=true&starting_after={seen}");
        let mut stream = server.open(Method::GET, &path, &Value::Null).await;
        let Some(next) = stream.next().await else { break };
        events.push(next);
    }
    assert_eq!(text_of(&events), expected_reply(QUESTION, 40));
    assert_eq!(events.last().unwrap()["type"], "response.completed");
}

#[tokio::test]
async fn a_response_is_cancelled_and_keeps_what_was_said() {
    let world = World::new(Script::default());
    let server = world.start().await;
    let body = json!({"input": "slowly [[mock tokens=500 delay_ms=20]]", "background": true});
    let id = server.respond(&body).await["id"].as_str().unwrap().to_owned();
    let mut stream = server.open(Method::GET, &format!("/v1/responses/{id}?stream=true"), &Value::Null).await;
    let mut events = Vec::new();
    while text_of(&events).is_empty() {
        events.push(stream.next().await.unwrap());
    }
    for _ in 0..2 {
        let cancelled = server.post(&format!("/v1/responses/{id}/cancel"), &json!({})).await.expect(200);
        assert_eq!(cancelled["status"], "cancelled", "{cancelled}");
    }
    while let Some(event) = stream.next().await {
        events.push(event);
    }
    let last = events.last().unwrap();
    assert_eq!((&last["type"], &last["response"]["status"]), (&json!("response.incomplete"), &json!("cancelled")));
    let kept = server.response(&id).await;
    assert_eq!((&kept["status"], &kept["output"][0]["status"]), (&json!("cancelled"), &json!("incomplete")));
    assert_eq!(kept["output"][0]["content"][0]["text"], json!(text_of(&events)));
    let unknown = server.post("/v1/responses/resp_00000000000070008000000000000000/cancel", &json!({})).await;
    assert_eq!(error(&unknown, 404)["code"], "response_not_found");
}

#[tokio::test]
async fn what_one_attempt_said_is_given_up_for_the_next() {
    let cut = Behaviour { fault: Some(Fault::CutMidStream), after: Some(5), ..Behaviour::tokens(12) };
    let world = World::new(Script::in_turn([cut], Behaviour::tokens(7)));
    let server = world.start().await;
    let mut stream = server.open(Method::POST, "/v1/responses", &json!({"input": "hi", "stream": true})).await;
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        events.push(event);
    }
    let id = events[0]["response"]["id"].as_str().unwrap();
    let last = &events.last().unwrap()["response"];
    assert_eq!((&last["status"], last["output"].as_array().unwrap().len()), (&json!("completed"), 1), "{last}");
    let words = expected_reply("hi", 7);
    assert_eq!(last["output"][0]["content"][0]["text"], json!(words));
    let added: Vec<u64> = (events.iter().filter(|event| event["type"] == "response.output_item.added"))
        .map(|event| event["output_index"].as_u64().unwrap())
        .collect();
    assert_eq!(added, [0, 1]);
    let given_up = events.iter().find(|event| event["type"] == "response.output_item.done").unwrap();
    assert_eq!((&given_up["output_index"], &given_up["item"]["status"]), (&json!(0), &json!("incomplete")));
    assert_eq!(text_of(&events), words, "items that were given up are empty");
    for event in &events {
        let seen = event["sequence_number"].as_u64();
        let rest = server.events(id, seen).await;
        let before: Vec<Value> =
            events.iter().filter(|event| event["sequence_number"].as_u64() <= seen).cloned().collect();
        assert_eq!(text_of(&[before, rest].concat()), words, "after {event}");
    }
}

#[tokio::test]
async fn a_killed_process_costs_an_item_not_the_response() {
    let world = World::new(Script::default());
    let server = world.start().await;
    let question = "on [[mock tokens=60 delay_ms=20]]";
    let id = server.respond(&json!({"input": question, "background": true})).await["id"].as_str().unwrap().to_owned();
    let mut stream = server.open(Method::GET, &format!("/v1/responses/{id}?stream=true"), &Value::Null).await;
    let mut events = Vec::new();
    while text_of(&events).len() < 20 {
        events.push(stream.next().await.unwrap());
    }
    server.kill();
    drop(stream);
    let server = world.start().await;
    let seen = events.last().unwrap()["sequence_number"].as_u64();
    events.extend(server.events(&id, seen).await);
    assert_eq!(text_of(&events), expected_reply(question, 60));
    assert!(events.windows(2).all(|two| two[0]["sequence_number"].as_u64() < two[1]["sequence_number"].as_u64()));
    let last = &events.last().unwrap()["response"];
    assert_eq!((last, &last["status"]), (&server.response(&id).await, &json!("completed")));
    let whole = server.events(&id, None).await;
    assert_eq!(kinds(&whole).iter().filter(|kind| kind.ends_with("output_item.added")).count(), 2);
}

#[tokio::test]
async fn how_a_response_failed_or_was_cut_short_is_told() {
    let world = World::new(Script::default()).with("LLM_MAX_ATTEMPTS", "1");
    let server = world.start().await;
    let failed = server.respond(&json!({"input": "no [[mock fault=http_400]]"})).await;
    assert_eq!((&failed["status"], &failed["error"]["code"]), (&json!("failed"), &json!("invalid_prompt")), "{failed}");
    assert!(failed["error"]["message"].is_string() && failed["output"] == json!([]));
    let mut stream = server
        .open(Method::POST, "/v1/responses", &json!({"input": "no [[mock fault=http_400]]", "stream": true}))
        .await;
    let mut last = Value::Null;
    while let Some(event) = stream.next().await {
        assert!(event.get("error").is_none(), "clients throw at it: {event}");
        last = event;
    }
    assert_eq!((&last["type"], &last["response"]["status"]), (&json!("response.failed"), &json!("failed")));
}
