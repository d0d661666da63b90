//! A session that is deleted by way of one instance while its reply is read at another.

use std::time::Duration;

use parlance_mock_llm::{Behaviour, Script};
use reqwest::Method;

use crate::support::World;

#[tokio::test]
async fn streams_that_are_open_at_any_instance_end_with_cancelled() {
    let script = Script::always(Behaviour::tokens(2_000).with_token_delay(Duration::from_millis(20)));
    let Some(world) = World::new(script).await else { return };
    let (a, _worker, persist) = world.all().await;
    let b = world.ingest().await;
    let running = a.say(None, "deleted in mid-reply").await;
    let mut here = a.stream(&running.task, None).await;
    let mut seen = here.until("delta").await;
    seen.extend(here.until("delta").await);
    let mut there = b.stream(&running.task, Some(&seen[0].id)).await;
    there.until("delta").await;
    let waiting = a.say(Some(&running.session), "and on").await;
    let mut queued = a.stream(&waiting.task, None).await;
    queued.until("status").await;

    let session = format!("/v1/sessions/{}", running.session);
    let deleting = async {
        let deleted = b.try_call(Method::DELETE, &session, &[], None).await.unwrap();
        assert_eq!(deleted.status, 204, "{deleted:?}");
    };
    let ((), read, read_there, read_queued) = tokio::join!(deleting, here.rest(), there.rest(), queued.rest());
    for events in [&read, &read_there, &read_queued] {
        let last = events.last().unwrap();
        assert_eq!((last.name.as_str(), &last.data["reply"]["content"]), ("cancelled", &"".into()), "{events:?}");
        assert_eq!(events.iter().filter(|event| event.is_terminal()).count(), 1, "{events:?}");
    }
    for events in [&read, &read_there] {
        assert!(events.iter().all(|event| ["delta", "cancelled"].contains(&event.name.as_str())), "{events:?}");
    }
    let upstream = world.mock.wait_for(crate::support::PATIENCE, |log| log[0].disconnected_ms.is_some()).await;
    assert_eq!(upstream.len(), 1, "the message that waited is not asked");
    for instance in [&a, &b] {
        for task in [&running.task, &waiting.task] {
            let found = instance.get(&format!("/v1/tasks/{task}")).await;
            assert_eq!(found.expect(404)["code"], "task_not_found");
            assert_eq!(instance.try_stream(task, Some(&seen[1].id)).await.err(), Some(404));
        }
        for path in [session.clone(), format!("{session}/messages")] {
            assert_eq!(instance.get(&path).await.expect(404)["code"], "session_not_found");
        }
    }
    assert_eq!(persist.stop().await.code, Some(0));
}
