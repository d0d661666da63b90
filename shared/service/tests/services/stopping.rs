//! SIGTERM: gone within 10 s, and another instance goes on.

use std::time::{Duration, Instant};

use parlance_mock_llm::{Behaviour, Script, expected_reply};

use crate::support::{World, reply_of};

/// What Cloud Run and most supervisors give.
const LIMIT: Duration = Duration::from_secs(10);
const TOKENS: u32 = 40;

/// A reply that takes longer than any stop may at first, and no time when it is asked for again.
fn slow_then_fast() -> Script {
    let slow = Behaviour::tokens(400).with_token_delay(Duration::from_millis(50));
    Script::in_turn([slow], Behaviour::tokens(TOKENS))
}

#[tokio::test]
async fn a_long_reply_is_handed_back_and_another_worker_goes_on_at_once() {
    let Some(world) = World::new(slow_then_fast()).await else { return };
    let (ingest, worker, _persist) = world.all().await;
    let accepted = ingest.say(None, "a long one").await;
    let mut events = ingest.stream(&accepted.task, None).await;
    let mut seen = events.until("delta").await;
    let _other = world.llm_worker().await;
    let began = Instant::now();
    worker.stop().await;
    let took = began.elapsed();
    assert!(took < LIMIT, "{took:?}");
    seen.extend(events.rest().await);
    let waited = began.elapsed().saturating_sub(took);
    println!("the worker was gone after {took:?}, the reply whole {waited:?} later");
    assert!(waited < Duration::from_secs(5), "it was not handed back at once: {waited:?}");
    let reset = seen.iter().find(|event| event.name == "reset").expect("a reset");
    assert_eq!((&reset.data["attempt"], &reset.data["reason"]), (&2.into(), &"handed_back".into()));
    assert_eq!(reply_of(&seen), expected_reply("a long one", TOKENS));
    assert_eq!(ingest.recorded(&accepted.session, 2).await[1], expected_reply("a long one", TOKENS));
}

#[tokio::test]
async fn subscribers_of_an_instance_that_stops_go_on_with_another() {
    // Longer than an instance waits for the replies that it streams.
    let script = Script::always(Behaviour::tokens(TOKENS * 8).with_token_delay(Duration::from_millis(25)));
    let Some(world) = World::new(script).await else { return };
    let (a, _worker, persist) = world.all().await;
    let b = world.ingest().await;
    let accepted = a.say(None, "moving house").await;
    let mut events = a.stream(&accepted.task, None).await;
    let mut seen = events.until("delta").await;
    a.process.signal("TERM");
    let began = Instant::now();
    seen.extend(events.rest().await);
    assert!(seen.iter().all(|event| !event.is_terminal()), "it waited for the end: {seen:?}");
    assert!(events.retries >= 2, "a hint at the start and one at the end");
    let ended = a.process.end().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(began.elapsed() < LIMIT, "{:?}", began.elapsed());
    seen.extend(b.stream(&accepted.task, Some(&seen.last().unwrap().id)).await.rest().await);
    assert_eq!(reply_of(&seen), expected_reply("moving house", TOKENS * 8));
    assert_eq!(seen.last().unwrap().data["attempt"], 1);
    b.recorded(&accepted.session, 2).await;
    let began = Instant::now();
    persist.stop().await;
    assert!(began.elapsed() < Duration::from_secs(4), "it had nothing to do: {:?}", began.elapsed());
}
