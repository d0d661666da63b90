//! The model is away: retries, a failed task with a reason, a dead letter, and a redrive once it is back.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use parlance_mock_llm::{Behaviour, Fault, Script, expected_reply};

use crate::support::{World, eventually, reply_of};

const TOKENS: u32 = 20;

#[tokio::test]
async fn a_turn_that_failed_is_answered_once_the_model_is_back_and_its_letter_redriven() {
    let is_away = Arc::new(AtomicBool::new(true));
    let script = Script::choose({
        let is_away = Arc::clone(&is_away);
        move |_| match is_away.load(Ordering::SeqCst) {
            // It says something first, so that a mix of attempts would show.
            true => Behaviour { after: Some(3), vary: true, ..Behaviour::fault(Fault::ResetMidStream) },
            false => Behaviour::tokens(TOKENS),
        }
    });
    let Some(world) = World::new(script).await else { return };
    let world = world.with("TURN_MAX_ATTEMPTS", "2");
    let (ingest, _worker, _persist) = world.all().await;
    let accepted = ingest.say(None, "is anybody there?").await;
    let seen = ingest.stream(&accepted.task, None).await.rest().await;
    reply_of(&seen);
    let end = seen.last().unwrap();
    assert_eq!(end.name, "failed");
    assert!(seen.iter().any(|event| event.name == "reset"), "it was tried again: {seen:?}");
    let error = &end.data["error"];
    assert!(error["code"].as_str().is_some_and(|code| !code.is_empty()), "{error}");
    assert!(error["message"].as_str().is_some_and(|sentence| sentence.ends_with('.')), "{error}");
    assert_eq!(error["retryable"], true);
    assert_eq!(world.mock.requests().len(), 2);

    let letters = eventually("the dead letter", async || {
        let listed = world.operate("dead-letters list --subscription llm-worker").await;
        listed.as_array().cloned().filter(|letters| !letters.is_empty())
    })
    .await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!(letters[0]["reason"], serde_json::json!({"code": error["code"], "message": error["message"]}));
    assert_eq!((&letters[0]["task_id"], &letters[0]["session_id"]), (&accepted.task.into(), &accepted.session.into()));

    is_away.store(false, Ordering::SeqCst);
    let dry = world.operate("dead-letters redrive --subscription llm-worker").await;
    assert_eq!((&dry["dry_run"], &dry["matched"]), (&true.into(), &1.into()), "{dry}");
    let redriven = world.operate("dead-letters redrive --subscription llm-worker --yes").await;
    assert_eq!(redriven["redriven"], 1, "{redriven}");
    let task = letters[0]["task_id"].as_str().unwrap();
    eventually("the task is answered anew", async || (ingest.task(task).await["status"] == "completed").then_some(()))
        .await;
    // Who had seen the failure sees that it is no longer so. Who had it as the last event has nothing to wait for, so
    // the cursor is the one before.
    let before_the_end = &seen[seen.len() - 2].id;
    let resumed = ingest.stream(task, Some(before_the_end)).await.rest().await;
    let reset = resumed.iter().find(|event| event.name == "reset").expect("a reset");
    assert_eq!(reset.data["reason"], "replayed", "{resumed:?}");
    assert_eq!(resumed.last().unwrap().name, "done");
    assert_eq!(reply_of(&resumed), expected_reply("is anybody there?", TOKENS));
    let after_the_end = ingest.stream(task, Some(&end.id)).await.rest().await;
    assert_eq!(reply_of(&after_the_end), expected_reply("is anybody there?", TOKENS), "{after_the_end:?}");
    let session = letters[0]["session_id"].as_str().unwrap();
    assert_eq!(ingest.recorded(session, 2).await[1], expected_reply("is anybody there?", TOKENS));
    assert_eq!(world.operate("dead-letters list --subscription llm-worker").await, serde_json::json!([]));
}
