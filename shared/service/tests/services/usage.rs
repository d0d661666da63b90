//! What replies used and cost, budgets, and replies that are used again, with the services apart.

use std::time::Duration;

use parlance_mock_llm::{Behaviour, Script};
use serde_json::json;

use crate::support::{World, eventually};

const PRICES: &str = r#"{"prices": [{"model": "mock-model", "input": 1000000, "output": 3000000}]}"#;

/// The tokens of prompts that the mock was sent, as it counts them.
fn sent(world: &World) -> u64 {
    let requests = world.mock.requests();
    let messages = requests.iter().flat_map(|request| &request.messages);
    messages.map(|message| (message.content.len() as u64 / 4).max(1)).sum()
}

fn prices() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prices.json");
    std::fs::write(&path, PRICES).unwrap();
    (folder, path.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn usage_is_what_the_provider_counted_also_when_persistence_is_late() {
    let Some(world) = World::new(Script::always(Behaviour::tokens(30))).await else { return };
    let (_folder, prices) = prices();
    let world = world.with("PRICES_FILE", &prices);
    let (ingest, _worker) = tokio::join!(world.ingest(), world.llm_worker());
    let first = ingest.say(None, "how much is that, in tokens?").await;
    let ended = ingest.completed(&first.task).await;
    assert_eq!(ended["cost_micro_usd"], ended["usage"]["input_tokens"].as_u64().unwrap() + 90);
    let second = ingest.say(Some(&first.session), "and now?").await;
    ingest.completed(&second.task).await;
    assert_eq!(ingest.get("/v1/usage").await.expect(200)["total"]["tasks"], 0, "nobody has recorded it");
    // The second one dies in the middle, perhaps, and another one finds what it left.
    world.persist_worker().await.kill();
    let _persist = world.persist_worker().await;
    let usage = eventually("all of it is in the record", async || {
        let usage = ingest.get("/v1/usage?group_by=model").await.expect(200);
        (usage["total"]["tasks"] == 2).then_some(usage)
    })
    .await;
    let (input, total) = (sent(&world), &usage["total"]);
    assert_eq!((&total["input_tokens"], &total["output_tokens"]), (&json!(input), &json!(60)));
    assert_eq!((&total["cost_micro_usd"], &total["unpriced"]), (&json!(input + 180), &json!(0)));
    let groups = usage["data"].as_array().unwrap();
    assert_eq!((groups.len(), &groups[0]["model"]), (1, &json!("mock-model")));
    let sessions = ingest.get("/v1/usage?group_by=session").await.expect(200);
    assert_eq!((&sessions["data"][0]["session_id"], &sessions["total"]), (&json!(first.session), total));
}

/// Though nothing of it is recorded, and whichever instance is asked.
#[tokio::test]
async fn a_budget_refuses_within_one_replys_worth() {
    let Some(world) = World::new(Script::always(Behaviour::tokens(30))).await else { return };
    let world = world.with("USER_DAILY_TOKENS", "40");
    let (ingest, other, _worker) = tokio::join!(world.ingest(), world.ingest(), world.llm_worker());
    for _ in 0..2 {
        let accepted = ingest.say(None, "a").await;
        ingest.completed(&accepted.task).await;
    }
    for service in [&ingest, &other] {
        let refused = service.try_say(None, "a").await;
        let problem = refused.expect(429);
        assert_eq!((&problem["code"], &problem["budget"]), (&json!("budget_exhausted"), &json!("tokens")));
        assert!(problem["used"].as_u64().unwrap() >= 60 && problem["resets_at"].is_string(), "{problem}");
        assert!((1..=86_401).contains(&refused.header("retry-after").parse::<u64>().unwrap()));
    }
    assert_eq!(world.mock.requests().len(), 2);
}

/// An outage of the database is no reason to refuse anybody.
#[tokio::test]
async fn without_the_database_messages_are_accepted_whatever_the_budget() {
    let Some(world) = World::new(Script::always(Behaviour::tokens(30))).await else { return };
    let world = world.with("USER_DAILY_TOKENS", "10");
    let (ingest, worker) = tokio::join!(world.ingest(), world.llm_worker());
    let accepted = ingest.say(None, "a").await;
    ingest.completed(&accepted.task).await;
    ingest.try_say(None, "a").await.expect(429);
    world.to_database.refuse();
    // What was just refused is remembered for a moment.
    let accepted = eventually("a message is accepted", async || {
        let answer = ingest.try_say(None, "a").await;
        (answer.status == 202).then(|| answer.expect(202))
    })
    .await;
    world.to_database.heal();
    let ended = ingest.ended(accepted["task_id"].as_str().unwrap()).await;
    assert_eq!((&ended["status"], &ended["error"]["code"]), (&json!("failed"), &json!("budget_exhausted")));
    assert_eq!(world.mock.requests().len(), 1);
    drop(worker);
}

#[tokio::test]
async fn the_same_prompt_is_asked_once_in_flight_and_after() {
    let slow = Script::always(Behaviour::tokens(30).with_token_delay(Duration::from_millis(20)));
    let Some(world) = World::new(slow).await else { return };
    let (_folder, prices) = prices();
    let world = world.with("REPLY_CACHE_SECONDS", "60").with("PRICES_FILE", &prices);
    let (ingest, _worker) = tokio::join!(world.ingest(), world.llm_worker());
    let (one, two) = tokio::join!(ingest.say(None, "the same"), ingest.say(None, "the same"));
    let (one, two) = tokio::join!(ingest.completed(&one.task), ingest.completed(&two.task));
    let three = ingest.completed(&ingest.say(None, "the same").await.task).await;
    assert_eq!(world.mock.requests().len(), 1);
    assert_eq!(one["reply"]["content"], two["reply"]["content"]);
    assert_eq!(one["reply"]["content"], three["reply"]["content"]);
    let costs: Vec<_> = [&one, &two, &three].iter().filter_map(|task| task["cost_micro_usd"].as_u64()).collect();
    assert_eq!((costs.len(), costs.iter().filter(|cost| **cost == 0).count()), (3, 2), "{costs:?}");
}

/// What a model took to find a heading is used like the rest, and is no task.
#[tokio::test]
async fn a_heading_is_used_too() {
    let Some(world) = World::new(Script::always(Behaviour::tokens(30))).await else { return };
    let (_folder, prices) = prices();
    let world = world.with("PRICES_FILE", &prices).with("HEADINGS", "on");
    let (ingest, _worker, _persist) = world.all().await;
    let first = ingest.say(None, "what is a harbour?").await;
    let ended = ingest.completed(&first.task).await;
    let total = eventually("the heading is in the record", async || {
        let usage = ingest.get("/v1/usage").await.expect(200);
        (usage["total"]["tasks"] == 1 && usage["total"]["headings"] == 1).then(|| usage["total"].clone())
    })
    .await;
    let number = |value: &serde_json::Value, name: &str| value[name].as_u64().unwrap();
    let (input, output) = (number(&total, "input_tokens"), number(&total, "output_tokens"));
    assert!(input > number(&ended["usage"], "input_tokens") && output > number(&ended["usage"], "output_tokens"));
    assert_eq!((number(&total, "cost_micro_usd"), number(&total, "summaries")), (input + 3 * output, 0));
}
