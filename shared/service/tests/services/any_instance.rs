//! Any instance will do: nothing of a conversation is in the process that accepted it.

use parlance_mock_llm::{Behaviour, Script, expected_reply};

use crate::support::{World, eventually, reply_of};

const TOKENS: u32 = 40;

fn slow() -> Script {
    Script::always(Behaviour::tokens(TOKENS).with_token_delay(std::time::Duration::from_millis(20)))
}

#[tokio::test]
async fn what_one_instance_accepts_another_streams_and_a_cursor_holds_on_both() {
    let Some(world) = World::new(slow()).await else { return };
    let (a, _worker, _persist) = world.all().await;
    let b = world.ingest().await;
    let accepted = a.say(None, "across").await;
    // Read in pieces, each on the other instance than the one before.
    let mut seen = b.stream(&accepted.task, None).await.some(4).await;
    for instance in [&a, &b] {
        let after = seen.last().unwrap().id.clone();
        seen.extend(instance.stream(&accepted.task, Some(&after)).await.some(3).await);
    }
    let path = format!("/v1/tasks/{}?wait=20", accepted.task);
    let polled = b.get(&path);
    let after = seen.last().unwrap().id.clone();
    let mut last = a.stream(&accepted.task, Some(&after)).await;
    let (polled, rest) = tokio::join!(polled, last.rest());
    seen.extend(rest);
    assert_eq!(reply_of(&seen), expected_reply("across", TOKENS));
    assert_eq!(seen.last().unwrap().name, "done");
    assert_eq!(polled.expect(200), seen.last().unwrap().data);

    // Long after the end each of the ids still gives what follows it, on either instance.
    for (at, event) in seen[..seen.len() - 1].iter().enumerate().step_by(5) {
        for instance in [&a, &b] {
            let mut again = seen[..=at].to_vec();
            again.extend(instance.stream(&accepted.task, Some(&event.id)).await.rest().await);
            assert_eq!(reply_of(&again), expected_reply("across", TOKENS));
        }
    }
    for instance in [&a, &b] {
        // Behind the end there is nothing to come back for.
        let after = seen.last().unwrap().id.clone();
        assert_eq!(instance.try_stream(&accepted.task, Some(&after)).await.err(), Some(204));
        assert_eq!(instance.recorded(&accepted.session, 2).await, ["across", &expected_reply("across", TOKENS)]);
    }
    // The second turn by way of the other instance knows the first one.
    let second = b.say(Some(&accepted.session), "and again").await;
    a.completed(&second.task).await;
    assert_eq!(world.mock.requests().last().unwrap().message_count, 3);
}

#[tokio::test]
async fn a_cancel_by_way_of_another_instance_stops_the_work() {
    let script = Script::always(Behaviour::tokens(2000).with_token_delay(std::time::Duration::from_millis(20)));
    let Some(world) = World::new(script).await else { return };
    let (a, _worker, persist) = world.all().await;
    let b = world.ingest().await;
    let accepted = a.say(None, "stop me").await;
    let mut events = a.stream(&accepted.task, None).await;
    let mut seen = events.until("delta").await;
    let cancelled = b.post(&format!("/v1/tasks/{}/cancel", accepted.task), &serde_json::Value::Null).await;
    assert_eq!(cancelled.status, 200, "{cancelled:?}");
    seen.extend(events.rest().await);
    assert_eq!(seen.last().unwrap().name, "cancelled");
    let said = reply_of(&seen);
    assert!(!said.is_empty() && expected_reply("stop me", 2000).starts_with(&said));
    assert_eq!(b.ended(&accepted.task).await["reply"]["content"], said.as_str());
    let upstream = world.mock.wait_for(crate::support::PATIENCE, |log| log[0].disconnected_ms.is_some()).await;
    assert!(upstream[0].tokens_sent < 2000);
    let listed = eventually("the record has the end", async || {
        let listed = b.messages(&accepted.session).await;
        listed.iter().any(|(_, _, status)| status == "cancelled").then_some(listed)
    })
    .await;
    assert!(listed.iter().any(|(role, content, _)| role == "assistant" && *content == said), "{listed:?}");
    assert_eq!(persist.stop().await.code, Some(0));
}
