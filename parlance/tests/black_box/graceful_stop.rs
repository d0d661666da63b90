//! SIGTERM: nothing new is taken, replies finish or are handed back, and the process is gone within 10 s.

use std::time::{Duration, Instant};

use parlance_mock_llm::{Behaviour, Script, expected_reply};
use tokio::net::TcpStream;

use crate::support::{World, eventually, reply_of};

/// What Cloud Run and most supervisors give.
const LIMIT: Duration = Duration::from_secs(10);
const TOKENS: u32 = 40;

/// A reply that takes longer than any stop may at first, and no time when it is asked for again.
fn slow_then_fast() -> Script {
    let slow = Behaviour::tokens(400).with_token_delay(Duration::from_millis(100));
    Script::in_turn([slow], Behaviour::tokens(TOKENS))
}

#[tokio::test]
async fn an_idle_process_stops_at_once() {
    let world = World::new(Script::default());
    let server = world.start().await;
    server.get("/health/ready").await.expect(200);
    let began = Instant::now();
    server.stop().await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    // The database file is whole by itself: who copies it copies everything.
    let left: Vec<_> = std::fs::read_dir(world.data_dir()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_str().unwrap().contains("-wal")), "{left:?}");
}

#[tokio::test]
async fn an_interrupt_stops_as_well_and_an_idle_connection_holds_it_up_no_longer() {
    let world = World::new(Script::default());
    let server = world.start().await;
    let _idle = TcpStream::connect(server.address).await.unwrap();
    let began = Instant::now();
    server.process.interrupt();
    let ended = server.process.end().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_short_reply_is_finished_and_its_subscriber_gets_the_end() {
    let behaviour = Behaviour::tokens(TOKENS).with_token_delay(Duration::from_millis(40));
    let world = World::new(Script::always(behaviour));
    let server = world.start().await;
    let accepted = server.say(None, "a short one").await;
    let mut events = server.stream(&accepted.task, None).await;
    let mut seen = events.until("delta").await;
    server.process.terminate();
    seen.extend(events.rest().await);
    assert_eq!(seen.last().unwrap().name, "done", "{seen:?}");
    assert_eq!(reply_of(&seen), expected_reply("a short one", TOKENS));
    let ended = server.process.end().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");

    // Nothing of it is left to do.
    let server = world.start().await;
    eventually("the reply is in the record", async || {
        (server.messages(&accepted.session).await.len() == 2).then_some(())
    })
    .await;
    assert_eq!(server.task(&accepted.task).await["attempt"], 1);
    assert_eq!(world.mock.requests().len(), 1);
}

#[tokio::test]
async fn a_long_reply_is_handed_back_and_its_subscriber_resumes_after_the_restart() {
    let world = World::new(slow_then_fast());
    let server = world.start().await;
    let accepted = server.say(None, "a long one").await;
    let mut events = server.stream(&accepted.task, None).await;
    let mut seen = events.until("delta").await;
    let poll = tokio::time::timeout(LIMIT, {
        let (client, path) = (server.client(), format!("/v1/tasks/{}?wait=55", accepted.task));
        async move { client.get(&path).await }
    });
    let began = Instant::now();
    let (client, address) = (server.client(), server.address);
    let stopping = async {
        // From the outside nothing shows that the poll has arrived. Should it take longer, the test fails: a poll that finds
        // the server stopping is refused.
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.process.terminate();
        eventually("new connections are refused", async || TcpStream::connect(address).await.is_err().then_some(()))
            .await;
        let refused_after = began.elapsed();
        let ended = server.process.end().await;
        (refused_after, ended, began.elapsed())
    };
    let (polled, (refused_after, ended, took), rest) = tokio::join!(poll, stopping, events.rest());
    assert!(refused_after < Duration::from_secs(2), "{refused_after:?}");
    assert!(took < LIMIT, "{took:?}");
    assert_eq!(ended.code, Some(0), "{ended:?}");

    let polled = polled.expect("the poll was not answered early").expect(200);
    assert_eq!(polled["status"], "running", "{polled}");
    // It ended in good order, in the middle of the reply, with the wish to come back.
    seen.extend(rest);
    assert!(seen.iter().all(|event| !event.is_terminal()), "{seen:?}");
    assert!(events.retries.len() >= 2, "a hint at the start and one at the end: {:?}", events.retries);
    drop(client);

    let server = world.start().await;
    let resumed = server.stream(&accepted.task, Some(&seen.last().unwrap().id)).await.rest().await;
    let reset = resumed.iter().position(|event| event.name == "reset").expect("no reset");
    assert_eq!((&resumed[reset].data["attempt"], &resumed[reset].data["reason"]), (&2.into(), &"handed_back".into()));
    assert_eq!(reply_of(&resumed[reset..]), expected_reply("a long one", TOKENS));
    let end = resumed.last().unwrap();
    assert_eq!((end.name.as_str(), &end.data["attempt"]), ("done", &2.into()));
    assert_eq!(world.mock.requests().len(), 2);
}

/// What waits in the queue is not begun any more, and its subscriber is sent off at once.
#[tokio::test]
async fn a_queued_message_is_left_for_the_next_process() {
    // A first request is slow, but the one that waited makes none before the restart.
    let slow = Behaviour::tokens(400).with_token_delay(Duration::from_millis(100));
    let script = Script::choose(move |request| match (request.last_user_text, request.attempt) {
        ("runs", 0) => slow.clone(),
        _ => Behaviour::default(),
    });
    let world = World::new(script).with("WORKER_CONCURRENCY", "1");
    let server = world.start().await;
    let running = server.say(None, "runs").await;
    server.stream(&running.task, None).await.until("delta").await;
    let queued = server.say(None, "waits").await;
    let mut events = server.stream(&queued.task, None).await;
    assert_eq!(events.next().await.id, "0-0");
    let began = Instant::now();
    server.process.terminate();
    assert_eq!(events.rest().await, []);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    server.process.end().await;
    assert_eq!(world.mock.requests().len(), 1);

    let world = world.with("WORKER_CONCURRENCY", "2");
    let server = world.start().await;
    for (accepted, attempt) in [(&running, 2), (&queued, 1)] {
        let ended = server.ended(&accepted.task).await;
        assert_eq!((&ended["status"], &ended["attempt"]), (&"completed".into(), &attempt.into()), "{ended}");
    }
}
