//! A session that is deleted while a reply of it is read.

use std::time::Duration;

use parlance_mock_llm::{Behaviour, Script};
use reqwest::Method;

use crate::support::{World, eventually};

/// A reply of 20 s.
fn long() -> Script {
    Script::always(Behaviour::tokens(400).with_token_delay(Duration::from_millis(50)))
}

#[tokio::test]
async fn open_streams_end_with_cancelled() {
    let world = World::new(long());
    let server = world.start().await;
    let running = server.say(None, "deleted in mid-reply").await;
    let mut reader = server.stream(&running.task, None).await;
    let mut seen = reader.until("delta").await;
    seen.extend(reader.until("delta").await);
    // One that comes back from far behind, one whose task waits for its turn, and one that polls.
    let mut behind = server.stream(&running.task, Some(&seen[0].id)).await;
    let waiting = server.say(Some(&running.session), "and on").await;
    let mut queued = server.stream(&waiting.task, None).await;
    queued.until("status").await;
    let poll = format!("/v1/tasks/{}?wait=30", running.task);
    let session = format!("/v1/sessions/{}", running.session);
    let deleting = async {
        let deleted = server.try_call(Method::DELETE, &session, None).await.unwrap();
        assert_eq!(deleted.status, 204, "{deleted:?}");
    };
    let ((), polled, read, read_behind, read_queued) =
        tokio::join!(deleting, server.get(&poll), reader.rest(), behind.rest(), queued.rest());
    for events in [&read, &read_behind, &read_queued] {
        let last = events.last().unwrap();
        assert_eq!((last.name.as_str(), &last.data["reply"]["content"]), ("cancelled", &"".into()), "{events:?}");
        assert_eq!(events.iter().filter(|event| event.is_terminal()).count(), 1, "{events:?}");
    }
    assert!(read.iter().all(|event| ["delta", "cancelled"].contains(&event.name.as_str())), "{read:?}");
    match polled.status {
        200 => assert_eq!(polled.expect(200)["status"], "cancelled"),
        // It came when the session was gone already.
        _ => drop(polled.problem(404, "task_not_found")),
    }
    let upstream = world
        .mock
        .wait_for(Duration::from_secs(5), |requests| requests.iter().all(|request| request.disconnected_ms.is_some()))
        .await;
    assert_eq!(upstream.len(), 1, "the message that waited is not asked");
    assert!(upstream[0].disconnected_ms.is_some(), "the provider was left waiting");

    for task in [&running.task, &waiting.task] {
        server.get(&format!("/v1/tasks/{task}")).await.problem(404, "task_not_found");
        for after in [None, Some(seen[1].id.as_str())] {
            assert_eq!(server.try_stream(task, after).await.err(), Some(404));
        }
    }
    server.get(&session).await.problem(404, "session_not_found");
    server.get(&format!("{session}/messages")).await.problem(404, "session_not_found");
    eventually("no turn is under way", async || {
        (server.metric("parlance_live_subscribers").await == 0.0).then_some(())
    })
    .await;
    server.stop().await;
}
