//! A second provider stands in for the first: when it is down, when it dies in the middle, and while its circuit is open.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parlance_mock_llm::{Behaviour, Fault, MockLlm, Script, expected_reply};
use serde_json::{Value, json};

use crate::support::{Event, World, eventually, reply_of};

/// A world whose mock is the primary, and its fallback.
fn with_fallback(primary: Script, fallback: Script) -> (World, MockLlm) {
    let fallback = MockLlm::start(fallback).unwrap();
    let world = World::new(primary)
        .with("LLM_FALLBACK_BASE_URL", &fallback.base_url())
        .with("LLM_FALLBACK_MODEL", "second-model")
        .with("HEADINGS", "off");
    (world, fallback)
}

/// Slow enough that a reader is there before it breaks.
fn cut_after(tokens: u32) -> Script {
    let broken = Behaviour { after: Some(tokens), ..Behaviour::fault(Fault::CutMidStream) };
    Script::always(broken.with_token_delay(Duration::from_millis(30)))
}

fn attempts(task: &Value) -> Value {
    let shown = |record: &Value| json!([record["attempt"], record["provider"], record["error"]]);
    task["attempts"].as_array().unwrap().iter().map(shown).collect()
}

fn resets(events: &[Event]) -> Vec<&Value> {
    events.iter().filter(|event| event.name == "reset").map(|event| &event.data["reason"]).collect()
}

#[tokio::test]
async fn a_primary_that_is_down_is_stood_in_for_and_the_task_says_so() {
    let (world, fallback) = with_fallback(Script::default(), Script::always(Behaviour::tokens(20)));
    let world = world.with("LLM_BASE_URL", "http://127.0.0.1:9/v1");
    let server = world.start().await;
    let accepted = server.say(None, "anybody?").await;
    let ended = server.ended(&accepted.task).await;
    assert_eq!(ended["reply"]["content"], expected_reply("anybody?", 20));
    assert_eq!((&ended["provider"], &ended["model"]), (&json!("fallback-1"), &json!("second-model")));
    assert_eq!(
        attempts(&ended),
        json!([[1, "openai-compatible", "provider_unreachable"], [2, "fallback-1", null]]),
        "{ended}"
    );
    assert_eq!(fallback.requests().len(), 1);
    let events = server.stream(&accepted.task, None).await.rest().await;
    assert_eq!(events.last().unwrap().data, ended, "poll and stream disagree");
}

#[tokio::test]
async fn a_provider_that_dies_in_the_middle_is_replaced_with_a_reset() {
    let (world, _fallback) = with_fallback(cut_after(7), Script::always(Behaviour::tokens(30)));
    let server = world.start().await;
    let accepted = server.say(None, "tell me").await;
    let events = server.stream(&accepted.task, None).await.rest().await;
    assert_eq!(resets(&events), ["provider_stream_cut"]);
    assert_eq!(reply_of(&events), expected_reply("tell me", 30));
    assert_eq!(server.ended(&accepted.task).await["provider"], "fallback-1");
}

#[tokio::test]
async fn where_it_is_wanted_the_next_provider_goes_on_without_a_reset() {
    let (world, fallback) = with_fallback(cut_after(7), Script::always(Behaviour::tokens(5)));
    let world = world.with("LLM_MIDSTREAM", "continue");
    let server = world.start().await;
    let accepted = server.say(None, "tell me").await;
    let events = server.stream(&accepted.task, None).await.rest().await;
    let wish = fallback.requests()[0].last_user_text.clone();
    let whole = expected_reply("tell me", 7) + &expected_reply(&wish, 5);
    assert_eq!((resets(&events).len(), reply_of(&events)), (0, whole.clone()));
    let ended = server.ended(&accepted.task).await;
    assert_eq!((&ended["attempt"], &ended["reply"]["content"]), (&json!(1), &json!(whole)));
    assert_eq!(attempts(&ended), json!([[1, "openai-compatible", "provider_stream_cut"], [1, "fallback-1", null]]));
    // Any place of it resumes, also the seam.
    for seen in 1..events.len() - 1 {
        let rest = server.stream(&accepted.task, Some(&events[seen].id)).await.rest().await;
        assert_eq!(reply_of(&[&events[..=seen], &rest].concat()), whole, "after {}", events[seen].id);
    }
    // The conversation goes on with the whole of it.
    let next = server.say(Some(&accepted.session), "and then?").await;
    assert_eq!(server.ended(&next.task).await["status"], "completed");
    let mut shown = fallback.requests().into_iter().chain(world.mock.requests());
    let asked = shown.rfind(|request| request.last_user_text == "and then?").unwrap();
    assert!(asked.messages.iter().any(|message| message.content == whole), "{asked:?}");
}

#[tokio::test]
async fn a_dead_provider_is_left_alone_until_one_probe_finds_it_well() {
    let is_well = Arc::new(AtomicBool::new(false));
    let primary = Script::choose({
        let is_well = Arc::clone(&is_well);
        move |_| match is_well.load(Ordering::SeqCst) {
            true => Behaviour::tokens(3),
            false => Behaviour::fault(Fault::ResetBeforeFirstByte),
        }
    });
    let (world, _fallback) = with_fallback(primary, Script::always(Behaviour::tokens(3)));
    let world = world.with("LLM_CIRCUIT_FAILURES", "2").with("LLM_CIRCUIT_OPEN_FOR", "2s");
    let server = world.start().await;
    let answered_by = async |content: &str| {
        let accepted = server.say(None, content).await;
        server.ended(&accepted.task).await["provider"].as_str().unwrap().to_owned()
    };
    for n in 0..4 {
        assert_eq!(answered_by(&n.to_string()).await, "fallback-1");
    }
    assert_eq!(world.mock.requests().len(), 2, "asked although its circuit is open");
    let shown = |name: &str| format!("parlance_provider_circuit_open{{provider=\"{name} ");
    let is_open = async |name: &str| {
        let metrics = server.get("/metrics").await.body;
        let sample = metrics.lines().find(|line| line.starts_with(&shown(name))).expect("no such circuit");
        sample.ends_with(" 1")
    };
    assert_eq!((is_open("openai-compatible").await, is_open("fallback-1").await), (true, false));
    is_well.store(true, Ordering::SeqCst);
    eventually("a probe closes it", async || (answered_by("probe").await == "openai-compatible").then_some(())).await;
    assert_eq!(world.mock.requests().len(), 3, "one probe");
    assert_eq!(answered_by("closed").await, "openai-compatible");
    assert!(!is_open("openai-compatible").await);
}

#[tokio::test]
async fn a_wrong_setting_is_refused_by_name() {
    let world = World::new(Script::default()).with("LLM_FALLBACK_BASE_URL", "http://127.0.0.1:9/v1");
    let ended = crate::support::Process::start(world.command()).end().await;
    assert_ne!(ended.code, Some(0));
    assert!(ended.stderr.contains("LLM_FALLBACK_MODEL"), "{ended:?}");
}
