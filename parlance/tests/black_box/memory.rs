//! A long conversation in one process: summaries, headings, and what no prompt can hold.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parlance_mock_llm::{Behaviour, Incoming, MOCK_HEADING, Purpose, Script};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Accepted, Server, World, eventually};

const TRIGGER: &str = "300";

fn remembering() -> World {
    World::new(Script::always(Behaviour::tokens(30))).with("SUMMARY_TRIGGER_TOKENS", TRIGGER)
}

/// Waits until all that was published is done, also what a turn asked of the memory.
async fn until_quiet(world: &World) {
    let mut folder = world.folder().await;
    eventually("the bus is empty", async || {
        (folder.number("SELECT count(*) FROM bus_deliveries").await == 0).then_some(())
    })
    .await;
}

/// Says things until the session has a summary of this version.
async fn until_folded(world: &World, server: &Server, session: &str, version: u64) -> Value {
    for turn in 0..60 {
        let path = format!("/v1/sessions/{session}/summary?version={version}");
        let said = server.say(Some(session), &format!("Let us go on with number {turn}, shall we?")).await;
        assert_eq!(server.ended(&said.task).await["status"], "completed");
        // People read before they write; the fold is made meanwhile.
        until_quiet(world).await;
        let answer = server.get(&path).await;
        if answer.status == 200 {
            return answer.expect(200);
        }
        assert_eq!(answer.expect(404)["code"], "summary_not_found");
    }
    panic!("the session was never folded");
}

#[tokio::test]
async fn older_turns_are_folded_and_the_model_still_knows_them() {
    let world = remembering();
    let server = world.start().await;
    let first = server.say(None, "FACT harbour=Valparaiso").await;
    server.ended(&first.task).await;
    let session = &first.session;
    let missing = server.get(&format!("/v1/sessions/{session}/summary")).await;
    let problem = missing.expect(404);
    assert_eq!(
        (&problem["code"], missing.header("content-type")),
        (&json!("summary_not_found"), "application/problem+json")
    );

    let summary = until_folded(&world, &server, session, 1).await;
    assert_eq!((&summary["session_id"], &summary["version"]), (&json!(session), &json!(1)));
    assert!(summary["text"].as_str().unwrap().contains("FACT harbour=Valparaiso"), "{summary}");
    assert!(summary["turns"].as_u64().unwrap() >= 1 && summary["tokens"].as_u64().unwrap() > 0, "{summary}");
    assert!(summary["through_task_id"].as_str().unwrap().starts_with("tsk_"), "{summary}");
    assert_eq!(summary["model"], "mock-model");
    assert!(summary["usage"]["input_tokens"].as_u64().unwrap() > 0, "{summary}");

    let asked = server.say(Some(session), "Which was it? [[mock recall=harbour]]").await;
    let task = server.ended(&asked.task).await;
    assert_eq!(task["reply"]["content"], "harbour is Valparaiso.");
    let prompt = world.mock.requests().pop().unwrap();
    assert!(
        prompt.messages.iter().all(|message| message.content != "FACT harbour=Valparaiso"),
        "the turn itself is gone"
    );
    let record = &task["prompt"];
    assert_eq!((&record["template"], &record["version"]), (&json!("default"), &json!("1")));
    assert!(record["summary_version"].as_u64().unwrap() >= 1, "{record}");
    assert_eq!(2 * record["turns"].as_array().unwrap().len() + 3, prompt.message_count, "{record}");

    // What was folded stays folded in the next process, and is folded on from there.
    server.kill();
    let server = world.start().await;
    let second = until_folded(&world, &server, session, summary_version(&server, session).await + 1).await;
    assert!(second["text"].as_str().unwrap().contains("harbour=Valparaiso"), "{second}");
    assert_eq!(server.get(&format!("/v1/sessions/{session}/summary?version=1")).await.expect(200), summary);
    assert_eq!(
        server.get(&format!("/v1/sessions/{session}/summary?version=0")).await.expect(400)["code"],
        "invalid_parameter"
    );
    let folds = world.mock.memory_requests();
    assert!(folds.iter().all(|request| request.purpose == Some(Purpose::Summary)));
    // One more if the kill came between the model's answer and its being kept.
    let (made, asked) = (summary_version(&server, session).await, folds.len() as u64);
    assert!((made..=made + 1).contains(&asked), "{asked} requests for {made} summaries");

    assert_eq!(server.try_call(Method::DELETE, &format!("/v1/sessions/{session}"), None).await.unwrap().status, 204);
    eventually("the summaries are gone", async || {
        let answer = server.get(&format!("/v1/sessions/{session}/summary")).await;
        (answer.status == 404 && answer.expect(404)["code"] == "session_not_found").then_some(())
    })
    .await;
}

async fn summary_version(server: &Server, session: &str) -> u64 {
    server.get(&format!("/v1/sessions/{session}/summary")).await.expect(200)["version"].as_u64().unwrap()
}

async fn heading(server: &Server, session: &str) -> Value {
    server.get(&format!("/v1/sessions/{session}")).await.expect(200)["heading"].clone()
}

#[tokio::test]
async fn a_session_gets_a_heading_once_and_never_in_place_of_its_owners() {
    let world = World::new(Script::default()).with("HEADINGS", "on");
    let server = world.start().await;
    let mine = server.post("/v1/sessions", &json!({"heading": "Mine"})).await.expect(201);
    let mine = mine["id"].as_str().unwrap();
    let Accepted { task, .. } = server.say(Some(mine), "hello").await;
    server.ended(&task).await;
    let Accepted { task, session, .. } = server.say(None, "What is a river? [[mock tokens=5]]").await;
    server.ended(&task).await;
    eventually("the heading", async || (heading(&server, &session).await == MOCK_HEADING).then_some(())).await;
    let again = server.say(Some(&session), "and a stream?").await;
    server.ended(&again.task).await;
    assert_eq!(heading(&server, mine).await, "Mine");
    assert_eq!(world.mock.memory_requests().len(), 1, "only one was asked for");
    server.kill();
    let server = world.start().await;
    assert_eq!(heading(&server, &session).await, MOCK_HEADING);
}

#[tokio::test]
async fn without_a_model_the_heading_is_what_was_asked() {
    let world = World::new(Script::default()).with("HEADINGS", "on").with("LLM_BASE_URL", "").with("LLM_MODEL", "");
    let server = world.start().await;
    let Accepted { task, session, .. } = server.say(None, "Where does the Danube rise? I forgot.").await;
    let ended = server.ended(&task).await;
    if ended["provider"] != "offline" {
        // A model answers on this machine.
        return;
    }
    eventually("the heading", async || {
        (heading(&server, &session).await == "Where does the Danube rise?").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_message_that_is_too_long_for_the_model_fails_with_its_size_and_the_limit() {
    let world = World::new(Script::default()).with("CONTEXT_TOKENS", "1000");
    let server = world.start().await;
    let long = server.say(None, &"word ".repeat(1_000)).await;
    let error = server.ended(&long.task).await["error"].clone();
    assert_eq!((&error["code"], &error["retryable"]), (&json!("message_too_long"), &json!(false)));
    let sentence = error["message"].as_str().unwrap();
    assert!(sentence.contains("1671 tokens") && sentence.contains("739"), "{sentence}");
    let short = server.say(Some(&long.session), "a short one").await;
    assert_eq!(server.ended(&short.task).await["status"], "completed");
}

/// A kill while the model is asked: whoever comes next is given the same requests again.
#[tokio::test]
async fn a_summary_and_a_heading_that_were_cut_by_a_kill_are_made_by_the_next_process() {
    let is_slow = Arc::new(AtomicBool::new(true));
    let speed = Arc::clone(&is_slow);
    let slow_at_first = move |_: &Incoming<'_>| match speed.load(Ordering::SeqCst) {
        true => Behaviour { first_token_delay: Duration::from_secs(20), ..Behaviour::default() },
        false => Behaviour::default(),
    };
    let script = Script::always(Behaviour::tokens(60)).with_memory(slow_at_first);
    let world = World::new(script).with("SUMMARY_TRIGGER_TOKENS", "400").with("HEADINGS", "on");
    let server = world.start().await;
    let first = server.say(None, "FACT harbour=Valparaiso").await;
    server.ended(&first.task).await;
    let session = &first.session;
    let mut turns = 1;
    while world.mock.memory_requests().is_empty() || turns < 4 {
        turns += 1;
        let said = server.say(Some(session), &format!("number {turns}")).await;
        assert_eq!(server.ended(&said.task).await["status"], "completed", "a turn waited for the memory");
    }
    is_slow.store(false, Ordering::SeqCst);
    server.kill();
    let server = world.start().await;
    eventually("the heading", async || (heading(&server, session).await == MOCK_HEADING).then_some(())).await;
    let said = server.say(Some(session), "on we go").await;
    server.ended(&said.task).await;
    let path = format!("/v1/sessions/{session}/summary");
    let summary = eventually("the summary", async || {
        let answer = server.get(&path).await;
        (answer.status == 200).then(|| answer.expect(200))
    })
    .await;
    assert!(summary["text"].as_str().unwrap().contains("harbour=Valparaiso"), "{summary}");
    let asked = world.mock.memory_requests();
    let headings = asked.iter().filter(|request| request.purpose == Some(Purpose::Heading)).count();
    assert_eq!(headings, 2, "once before the kill and once after it");
}
