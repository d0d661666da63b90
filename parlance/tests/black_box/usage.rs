//! What replies used and cost, budgets, and replies that are used again.

use std::time::Duration;

use parlance_mock_llm::{Behaviour, Script};
use serde_json::{Value, json};

use crate::support::{Process, World, command, eventually};

const PRICES: &str = r#"{"prices": [{"model": "mock", "input": 9, "output": 9},
    {"model": "mock-model", "input": 1000000, "cached_input": 500000, "output": 3000000}]}"#;

fn with_prices(world: World) -> World {
    let path = world.data_dir().with_file_name("prices.json");
    std::fs::write(&path, PRICES).unwrap();
    world.with("PRICES_FILE", path.to_str().unwrap())
}

/// The tokens of prompts that the mock was sent, as it counts them.
fn sent(world: &World) -> u64 {
    let requests = world.mock.requests();
    let messages = requests.iter().flat_map(|request| &request.messages);
    messages.map(|message| (message.content.len() as u64 / 4).max(1)).sum()
}

#[tokio::test]
async fn usage_is_what_the_provider_counted_also_after_a_crash_and_by_each_group() {
    let world = with_prices(World::new(Script::always(Behaviour::tokens(30))));
    let server = world.start().await;
    let first = server.say(None, "how much is that, in tokens?").await;
    let ended = server.ended(&first.task).await;
    assert_eq!(ended["usage"]["output_tokens"], 30);
    let cost = ended["usage"]["input_tokens"].as_u64().unwrap() + 3 * 30;
    assert_eq!(ended["cost_micro_usd"], cost);
    let second = server.say(Some(&first.session), "and now?").await;
    server.ended(&second.task).await;
    let third = server.say(None, "elsewhere").await;
    server.ended(&third.task).await;
    server.kill();

    let server = world.start().await;
    let usage = eventually("all of it is in the record", async || {
        let usage = server.get("/v1/usage?group_by=session").await.expect(200);
        (usage["total"]["tasks"] == 3).then_some(usage)
    })
    .await;
    let total = &usage["total"];
    let (input, output) = (sent(&world), 90);
    assert_eq!((&total["input_tokens"], &total["output_tokens"]), (&json!(input), &json!(output)));
    assert_eq!((&total["cost_micro_usd"], &total["unpriced"]), (&json!(input + 3 * output), &json!(0)));
    assert!(total["first_token_ms_p50"].is_i64(), "{total}");
    let tasks = |usage: &Value| -> Vec<(Value, Value)> {
        let groups = usage["data"].as_array().unwrap().iter();
        groups.map(|group| (group["session_id"].clone(), group["tasks"].clone())).collect()
    };
    let expected = [(json!(first.session), json!(2)), (json!(third.session), json!(1))];
    assert_eq!(tasks(&usage), expected);
    for group_by in ["day", "model"] {
        let grouped = server.get(&format!("/v1/usage?group_by={group_by}")).await.expect(200);
        assert_eq!((&grouped["total"], grouped["data"].as_array().unwrap().len()), (total, 1), "{grouped}");
    }
}

#[tokio::test]
async fn a_budget_refuses_within_one_replys_worth() {
    let world = with_prices(World::new(Script::always(Behaviour::tokens(30)))).with("USER_DAILY_MICRO_USD", "150");
    let server = world.start().await;
    let mut answered = 0;
    let refused = loop {
        let answer = server.post("/v1/messages", &json!({"content": "a"})).await;
        if answer.status != 202 {
            break answer;
        }
        assert!(answered < 2, "two replies of more than 90 are past 150");
        let task = server.ended(answer.json()["task_id"].as_str().unwrap()).await;
        assert_eq!(task["status"], "completed");
        answered += 1;
    };
    let problem = refused.problem(429, "budget_exhausted");
    assert_eq!((answered, &problem["budget"], &problem["limit"]), (2, &json!("micro_usd"), &json!(150)));
    assert!(problem["used"].as_u64().unwrap() >= 180 && problem["resets_at"].is_string(), "{problem}");
    assert!((1..=86_401).contains(&refused.header("retry-after").parse::<u64>().unwrap()));
    assert_eq!(world.mock.requests().len(), 2);
    // Reading goes on, and so does a process that starts again know it.
    server.get("/v1/usage").await.expect(200);
    server.kill();
    let server = world.start().await;
    server.post("/v1/messages", &json!({"content": "a"})).await.problem(429, "budget_exhausted");
}

/// Of many that were accepted at once in sessions of their own, those that come after the end of the budget fail, and the
/// model is not asked for them.
#[tokio::test]
async fn what_waits_when_a_budget_runs_out_is_not_asked() {
    let world = World::new(Script::always(Behaviour::tokens(30).with_token_delay(Duration::from_millis(10))))
        .with("USER_DAILY_TOKENS", "25")
        .with("WORKER_CONCURRENCY", "1");
    let server = world.start().await;
    let mut tasks = Vec::new();
    for n in 0..4 {
        tasks.push(server.say(None, &format!("message {n}")).await.task);
    }
    let mut ends = Vec::new();
    for task in &tasks {
        let task = server.ended(task).await;
        ends.push((task["status"].clone(), task["error"]["code"].clone()));
    }
    let failed = (json!("failed"), json!("budget_exhausted"));
    assert_eq!(ends, [(json!("completed"), Value::Null), failed.clone(), failed.clone(), failed]);
    assert_eq!(world.mock.requests().len(), 1);
}

#[tokio::test]
async fn the_same_prompt_is_asked_once_in_flight_and_after_but_only_if_that_is_wanted() {
    let slow = || Script::always(Behaviour::tokens(30).with_token_delay(Duration::from_millis(20)));
    let world = with_prices(World::new(slow())).with("REPLY_CACHE_SECONDS", "60");
    let server = world.start().await;
    let (one, two) = (server.say(None, "the same").await, server.say(None, "the same").await);
    let (one, two) = (server.ended(&one.task).await, server.ended(&two.task).await);
    let three = server.ended(&server.say(None, "the same").await.task).await;
    assert_eq!(world.mock.requests().len(), 1);
    assert_eq!(one["reply"]["content"], two["reply"]["content"]);
    assert_eq!(one["reply"]["content"], three["reply"]["content"]);
    let costs: Vec<_> = [&one, &two, &three].iter().filter_map(|task| task["cost_micro_usd"].as_u64()).collect();
    assert_eq!((costs.len(), costs.iter().filter(|cost| **cost == 0).count()), (3, 2), "{costs:?}");
    assert_eq!(three["usage"], json!({"input_tokens": 0, "output_tokens": 0, "cached_tokens": 0}));
    server.ended(&server.say(None, "another").await.task).await;
    assert_eq!(world.mock.requests().len(), 2);
    let counted = async |outcome: &str| {
        server.metric(&format!("parlance_reply_cache_requests_total{{outcome=\"{outcome}\"}}")).await
    };
    assert_eq!(counted("miss").await, 2.0);
    assert_eq!(counted("hit").await + counted("joined").await, 2.0);

    let world = World::new(slow());
    let server = world.start().await;
    let (one, two) = (server.say(None, "the same").await, server.say(None, "the same").await);
    tokio::join!(server.ended(&one.task), server.ended(&two.task));
    assert_eq!(world.mock.requests().len(), 2, "nothing is used again unless that is set");
}

#[tokio::test]
async fn a_bad_table_of_prices_stops_the_start_with_entry_and_field() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prices.json");
    std::fs::write(&path, r#"{"prices": [{"model": "m", "input": 1, "output": -2}]}"#).unwrap();
    let mut command = command();
    command.env("DATA_DIR", folder.path().join("data")).env("PRICES_FILE", &path);
    let ended = Process::start(command).end().await;
    assert_ne!(ended.code, Some(0));
    for part in ["PRICES_FILE", "entry 1", "\"m\"", "\"output\""] {
        assert!(ended.stderr.contains(part), "{part}: {ended:?}");
    }
}

/// What a model took to find a heading is used like the rest, and is no task.
#[tokio::test]
async fn a_heading_is_used_too() {
    let world = with_prices(World::new(Script::always(Behaviour::tokens(30)))).with("HEADINGS", "on");
    let server = world.start().await;
    let first = server.say(None, "what is a harbour?").await;
    let ended = server.ended(&first.task).await;
    let total = eventually("the heading is in the record", async || {
        let usage = server.get("/v1/usage").await.expect(200);
        (usage["total"]["tasks"] == 1 && usage["total"]["headings"] == 1).then(|| usage["total"].clone())
    })
    .await;
    let number = |value: &Value, name: &str| value[name].as_u64().unwrap();
    let (input, output) = (number(&total, "input_tokens"), number(&total, "output_tokens"));
    assert!(input > number(&ended["usage"], "input_tokens") && output > number(&ended["usage"], "output_tokens"));
    assert_eq!((number(&total, "cost_micro_usd"), number(&total, "summaries")), (input + 3 * output, 0));
}
