//! `/v1/responses` where nothing of a response is in the process that accepted it.

use std::time::Duration;

use parlance_mock_llm::{Behaviour, Script, expected_reply, expected_varied_reply};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Service, World, eventually};

const TOKENS: u32 = 40;

fn id(response: &Value) -> &str {
    response["id"].as_str().unwrap()
}

/// All events behind this number, to the end.
async fn events(service: &Service, id: &str, after: Option<u64>) -> Vec<Value> {
    let after = after.map(|after| format!("&starting_after={after}")).unwrap_or_default();
    let answer = service.get(&format!("/v1/responses/{id}?stream=true{after}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let data = answer.body.split_terminator("\n\n").filter_map(|frame| frame.split_once("\ndata: "));
    data.map(|(_, data)| serde_json::from_str(data).unwrap()).collect()
}

fn number(event: &Value) -> Option<u64> {
    event["sequence_number"].as_u64()
}

/// The text that is left: items that were given up are emptied.
fn text_of(events: &[Value]) -> String {
    let mut texts = std::collections::BTreeMap::<u64, String>::new();
    for event in events {
        let index = event["output_index"].as_u64().unwrap_or_default();
        match event["type"].as_str().unwrap() {
            "response.output_text.delta" => texts.entry(index).or_default().push_str(event["delta"].as_str().unwrap()),
            "response.output_item.done" if event["item"]["content"] == json!([]) => drop(texts.remove(&index)),
            _ => {}
        }
    }
    texts.into_values().collect()
}

#[tokio::test]
async fn what_one_instance_runs_in_the_background_another_streams_from_any_number() {
    let script = Script::always(Behaviour::tokens(TOKENS).with_token_delay(Duration::from_millis(10)));
    let Some(world) = World::new(script).await else { return };
    let (a, _worker, _persist) = world.all().await;
    let b = world.ingest().await;
    let body = json!({"model": "m1", "input": "across", "background": true, "metadata": {"a": "b"}});
    let created = a.post("/v1/responses", &body).await.expect(200);
    assert_eq!(created["status"], "queued");
    let early = b.get(&format!("/v1/responses/{}", id(&created))).await.expect(200);
    assert_eq!(early["id"], created["id"], "no instance says that it is not there");
    let (on_a, on_b) = tokio::join!(events(&a, id(&created), None), events(&b, id(&created), None));
    let words = expected_reply("across", TOKENS);
    assert_eq!((text_of(&on_a), text_of(&on_b)), (words.clone(), words.clone()));
    let [first, last] = [&on_a[0], on_a.last().unwrap()];
    assert_eq!((first, last), (&on_b[0], on_b.last().unwrap()));
    for service in [&a, &b] {
        assert_eq!(service.get(&format!("/v1/responses/{}", id(&created))).await.expect(200), last["response"]);
        for (at, event) in on_a.iter().enumerate().step_by(3) {
            let rest = events(service, id(&created), number(event)).await;
            assert!(rest.iter().all(|after| number(after) > number(event)));
            assert_eq!(text_of(&on_a[..=at]) + &text_of(&rest), words, "after {event}");
        }
    }

    // The next turn by way of the other instance, a fork by way of the first one, and what is deleted is gone on both.
    let next = json!({"model": "m1", "input": "and?", "previous_response_id": created["id"]});
    let second = b.post("/v1/responses", &next).await.expect(200);
    assert_eq!(second["conversation"], last["response"]["conversation"]);
    assert_eq!(world.mock.requests().last().unwrap().message_count, 3);
    let fork = a.post("/v1/responses", &next).await.expect(200);
    assert_ne!(fork["conversation"], second["conversation"]);
    assert_eq!(world.mock.requests().last().unwrap().message_count, 3);
    let path = format!("/v1/responses/{}", id(&fork));
    for service in [&b, &a] {
        assert_eq!(service.try_call(Method::DELETE, &path, &[], None).await.unwrap().expect(200)["deleted"], true);
    }
    for service in [&a, &b] {
        assert_eq!(service.get(&path).await.expect(404)["error"]["code"], "response_not_found");
    }
}

#[tokio::test]
async fn a_killed_worker_costs_an_item_and_the_stream_goes_on() {
    let reply = Behaviour { vary: true, ..Behaviour::tokens(TOKENS) };
    let slow = Behaviour { tokens: 2_000, ..reply.clone() }.with_token_delay(Duration::from_millis(20));
    let script = Script::choose(move |request| if request.attempt == 0 { slow.clone() } else { reply.clone() });
    let Some(world) = World::new(script).await else { return };
    let (ingest, worker, _persist) = world.all().await;
    let created = ingest.post("/v1/responses", &json!({"input": "killed", "background": true})).await.expect(200);
    let reading = events(&ingest, id(&created), None);
    let killing = async {
        let speaks = async || world.mock.requests().iter().any(|request| request.tokens_sent > 60).then_some(());
        eventually("the model speaks", speaks).await;
        worker.kill();
        world.llm_worker().await
    };
    let (seen, _worker) = tokio::join!(reading, killing);
    let words = expected_varied_reply("killed", 1, TOKENS);
    assert_eq!(text_of(&seen), words);
    let added = seen.iter().filter(|event| event["type"] == "response.output_item.added").count();
    let deltas =
        seen.iter().filter(|event| event["type"] == "response.output_text.delta" && event["output_index"] == 0);
    assert_eq!((added, deltas.count() > 0), (2, true), "something of the first attempt was seen");
    let last = &seen.last().unwrap()["response"];
    assert_eq!((&last["status"], &last["output"][0]["content"][0]["text"]), (&json!("completed"), &json!(words)));
    for event in seen.iter().step_by(7) {
        let before: Vec<Value> = seen.iter().filter(|other| number(other) <= number(event)).cloned().collect();
        let rest = events(&ingest, id(&created), number(event)).await;
        assert_eq!(text_of(&[before, rest].concat()), words, "after {event}");
    }
}
