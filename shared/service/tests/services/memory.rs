//! A long conversation across services: summaries and headings come by Pub/Sub, and any instance shows them.

use parlance_mock_llm::{Behaviour, MOCK_HEADING, Purpose, Script};
use serde_json::{Value, json};

use crate::support::{Service, World, eventually};

/// Says things until the session has a summary of this version.
async fn until_folded(ingest: &Service, session: &str, version: u32) -> Value {
    let path = format!("/v1/sessions/{session}/summary?version={version}");
    for turn in 0..60 {
        let said = ingest.say(Some(session), &format!("Let us go on with number {turn}, shall we?")).await;
        ingest.completed(&said.task).await;
        let summary = ingest.get(&path).await;
        if summary.status == 200 {
            return summary.expect(200);
        }
        assert_eq!(summary.expect(404)["code"], "summary_not_found");
        // People read before they write; the fold is made meanwhile.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the session was never folded");
}

fn folds(world: &World) -> usize {
    world.mock.memory_requests().iter().filter(|request| request.purpose == Some(Purpose::Summary)).count()
}

#[tokio::test]
async fn older_turns_are_folded_once_and_shown_by_any_instance() {
    let Some(world) = World::new(Script::always(Behaviour::tokens(30))).await else { return };
    let world = world.with("SUMMARY_TRIGGER_TOKENS", "300").with("HEADINGS", "on");
    let (ingest, worker, _persist) = world.all().await;
    world.pubsub.subscribe("copy", "parlance-memory").await;
    let first = ingest.say(None, "FACT harbour=Valparaiso").await;
    ingest.completed(&first.task).await;
    let session = &first.session;
    let path = format!("/v1/sessions/{session}/summary");
    assert_eq!(ingest.get(&path).await.expect(404)["code"], "summary_not_found");
    eventually("the heading", async || {
        let shown = ingest.get(&format!("/v1/sessions/{session}")).await.expect(200);
        (shown["heading"] == MOCK_HEADING).then_some(())
    })
    .await;

    let summary = until_folded(&ingest, session, 1).await;
    assert_eq!((&summary["session_id"], &summary["version"]), (&json!(session), &json!(1)));
    assert!(summary["text"].as_str().unwrap().contains("FACT harbour=Valparaiso"), "{summary}");
    assert!(summary["usage"]["output_tokens"].as_u64().unwrap() > 0, "{summary}");

    // Pub/Sub may deliver it again. What is asked for in a session is done in order: once the next summary is there, all
    // before it is done.
    let asked = world.pubsub.take("copy").await;
    assert!(asked.len() >= 2, "a heading and a summary were asked for: {asked:?}");
    for message in asked.iter().cycle().take(3 * asked.len()) {
        world.pubsub.publish("parlance-memory", message).await;
    }
    until_folded(&ingest, session, 2).await;
    assert_eq!(ingest.get(&format!("{path}?version=1")).await.expect(200), summary);
    let latest = ingest.get(&path).await.expect(200)["version"].as_u64().unwrap();
    assert!(folds(&world) as u64 <= latest + 1, "a range was folded twice: {} for {latest}", folds(&world));
    let headings = world.mock.memory_requests().len() - folds(&world);
    assert_eq!(headings, 1, "the heading was asked for twice");

    // Another worker and another instance know as much.
    worker.kill();
    let (_worker, other) = tokio::join!(world.llm_worker(), world.ingest());
    let asked = other.say(Some(session), "Which was it? [[mock recall=harbour]]").await;
    assert_eq!(other.completed(&asked.task).await["reply"]["content"], "harbour is Valparaiso.");
    assert_eq!(other.get(&format!("{path}?version=1")).await.expect(200), summary);
    let deleted = other.try_call(reqwest::Method::DELETE, &format!("/v1/sessions/{session}"), &[], None).await.unwrap();
    assert_eq!(deleted.status, 204);
    eventually("the summaries are gone", async || {
        let answer = other.get(&path).await;
        (answer.status == 404 && answer.expect(404)["code"] == "session_not_found").then_some(())
    })
    .await;
}
