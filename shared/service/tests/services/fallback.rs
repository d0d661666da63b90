//! A second provider stands in for the first, and what one worker finds out about a provider all others know.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parlance_mock_llm::{Behaviour, Fault, MockLlm, Script, expected_reply};
use serde_json::{Value, json};

use crate::support::{HttpClient, World, eventually, reply_of};

/// A world whose mock is the primary, and its fallback.
async fn with_fallback(primary: Script, fallback: Script) -> Option<(World, MockLlm)> {
    let fallback = MockLlm::start(fallback).unwrap();
    let world = World::new(primary)
        .await?
        .with("LLM_FALLBACK_BASE_URL", &fallback.base_url())
        .with("LLM_FALLBACK_MODEL", "second-model")
        .with("HEADINGS", "off");
    Some((world, fallback))
}

/// Slow enough that a reader is there before it breaks.
fn cut_after(tokens: u32) -> Script {
    let broken = Behaviour { after: Some(tokens), ..Behaviour::fault(Fault::CutMidStream) };
    Script::always(broken.with_token_delay(Duration::from_millis(150)))
}

fn attempts(task: &Value) -> Value {
    let shown = |record: &Value| json!([record["attempt"], record["provider"], record["error"]]);
    task["attempts"].as_array().unwrap().iter().map(shown).collect()
}

async fn answered_by(ingest: &HttpClient, content: &str) -> String {
    let accepted = ingest.say(None, content).await;
    ingest.completed(&accepted.task).await["provider"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_primary_that_is_down_or_dies_in_the_middle_is_stood_in_for_and_the_task_says_so() {
    let Some((world, fallback)) = with_fallback(cut_after(7), Script::always(Behaviour::tokens(30))).await else {
        return;
    };
    let (ingest, worker, _persist) = world.all().await;
    let accepted = ingest.say(None, "tell me").await;
    let events = ingest.stream(&accepted.task, None).await.rest().await;
    let resets: Vec<_> = events.iter().filter(|event| event.name == "reset").map(|e| &e.data["reason"]).collect();
    assert_eq!(resets, ["provider_stream_cut"]);
    assert_eq!(reply_of(&events), expected_reply("tell me", 30));
    let recorded = eventually("the record has it", async || {
        ingest.recorded(&accepted.session, 2).await;
        Some(ingest.completed(&accepted.task).await)
    })
    .await;
    assert_eq!((&recorded["provider"], &recorded["model"]), (&json!("fallback-1"), &json!("second-model")));
    assert_eq!(attempts(&recorded), json!([[1, "openai-compatible", "provider_stream_cut"], [2, "fallback-1", null]]));
    worker.stop().await;

    let mut down = world.command("llm-worker");
    down.env("LLM_BASE_URL", "http://127.0.0.1:9/v1");
    let _worker = crate::support::Service::start(down).await;
    let accepted = ingest.say(None, "anybody?").await;
    let ended = ingest.completed(&accepted.task).await;
    assert_eq!(ended["reply"]["content"], expected_reply("anybody?", 30));
    assert_eq!(attempts(&ended), json!([[1, "openai-compatible", "provider_unreachable"], [2, "fallback-1", null]]));
    assert_eq!(fallback.requests().len(), 2);
}

#[tokio::test]
async fn where_it_is_wanted_the_next_provider_goes_on_without_a_reset() {
    let Some((world, fallback)) = with_fallback(cut_after(7), Script::always(Behaviour::tokens(5))).await else {
        return;
    };
    let world = world.with("LLM_MIDSTREAM", "continue");
    let (ingest, _worker, _persist) = world.all().await;
    let accepted = ingest.say(None, "tell me").await;
    let events = ingest.stream(&accepted.task, None).await.rest().await;
    let whole = expected_reply("tell me", 7) + &expected_reply(&fallback.requests()[0].last_user_text, 5);
    assert!(events.iter().all(|event| event.name != "reset"), "{events:?}");
    assert_eq!(reply_of(&events), whole);
    let ended = ingest.completed(&accepted.task).await;
    assert_eq!((&ended["attempt"], &ended["reply"]["content"]), (&json!(1), &json!(whole)));
    assert_eq!(attempts(&ended), json!([[1, "openai-compatible", "provider_stream_cut"], [1, "fallback-1", null]]));
    assert_eq!(ingest.recorded(&accepted.session, 2).await[1], whole);
    for seen in 1..events.len() - 1 {
        let rest = ingest.stream(&accepted.task, Some(&events[seen].id)).await.rest().await;
        assert_eq!(reply_of(&[&events[..=seen], &rest].concat()), whole, "after {}", events[seen].id);
    }
}

#[tokio::test]
async fn what_one_worker_finds_out_all_know_and_one_probe_finds_the_provider_well() {
    let is_well = Arc::new(AtomicBool::new(false));
    let primary = Script::choose({
        let is_well = Arc::clone(&is_well);
        move |_| match is_well.load(Ordering::SeqCst) {
            true => Behaviour::tokens(3),
            false => Behaviour::fault(Fault::ResetBeforeFirstByte),
        }
    });
    let Some((world, _fallback)) = with_fallback(primary, Script::always(Behaviour::tokens(3))).await else { return };
    let world = world.with("LLM_CIRCUIT_FAILURES", "2").with("LLM_CIRCUIT_OPEN_FOR", "20s");
    let (ingest, first, _persist) = world.all().await;
    for n in 0..2 {
        assert_eq!(answered_by(&ingest, &n.to_string()).await, "fallback-1");
    }
    assert_eq!(world.mock.requests().len(), 2);

    // One that comes later knows of it, and so does one that was there.
    let mut second = world.llm_worker().await;
    second.process.says("another worker says that the provider fails").await;
    for worker in [&first, &second] {
        let metrics = worker.get("/metrics").await.body;
        let of_primary = |line: &&str| line.starts_with("parlance_provider_circuit_open{provider=\"openai-compatible ");
        assert!(metrics.lines().find(of_primary).is_some_and(|sample| sample.ends_with(" 1")), "{metrics}");
    }
    first.stop().await;
    for n in 2..5 {
        assert_eq!(answered_by(&ingest, &n.to_string()).await, "fallback-1");
    }
    assert_eq!(world.mock.requests().len(), 2, "the second worker asked although the circuit is open");

    let mut third = world.llm_worker().await;
    third.process.says("another worker says that the provider fails").await;
    is_well.store(true, Ordering::SeqCst);
    let begun = std::time::Instant::now();
    while answered_by(&ingest, "probe").await != "openai-compatible" {
        assert!(begun.elapsed() < Duration::from_secs(60), "no probe");
        assert_eq!(world.mock.requests().len(), 2);
    }
    assert_eq!(world.mock.requests().len(), 3, "one probe of two workers");
    for n in 5..9 {
        eventually("both ask it again", async || {
            (answered_by(&ingest, &n.to_string()).await == "openai-compatible").then_some(())
        })
        .await;
    }
    let said = [&second, &third].map(|worker| worker.process.log());
    let learned = said.iter().filter(|log| log.contains("another worker says that the provider answers again"));
    assert_eq!(learned.count(), 1, "one probed, the other heard of it");
}
