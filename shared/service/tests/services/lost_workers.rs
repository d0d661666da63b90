//! A worker that hangs, or is gone: another one goes on once the lease has run out.

use std::time::{Duration, Instant};

use parlance_mock_llm::{Behaviour, Script, expected_varied_reply};

use crate::support::{Accepted, Event, Service, World, eventually, reply_of};

const TOKENS: u32 = 60;
/// The ack deadline of a subscription and the lease of a claim, one after the other at the worst, and what is in between.
const BOUND: Duration = Duration::from_secs(30);

/// The first request takes longer than anybody waits, and says other words than the next one.
fn slow_then_fast(text: &'static str) -> Script {
    let reply = Behaviour { vary: true, ..Behaviour::tokens(TOKENS) };
    let slow = Behaviour { tokens: 2_000, ..reply.clone() }.with_token_delay(Duration::from_millis(20));
    Script::choose(move |request| match (request.last_user_text == text, request.attempt) {
        (true, 0) => slow.clone(),
        _ => reply.clone(),
    })
}

/// The events of a task that a second worker took over, checked.
#[track_caller]
fn taken_over(seen: &[Event], text: &str) {
    let reset = seen.iter().find(|event| event.name == "reset").unwrap_or_else(|| panic!("no reset: {seen:?}"));
    assert_eq!((&reset.data["attempt"], &reset.data["reason"]), (&2.into(), &"worker_lost".into()));
    assert_eq!(reply_of(seen), expected_varied_reply(text, 1, TOKENS));
    assert_eq!(seen.last().unwrap().name, "done");
}

/// A reply in its middle, and what its reader has seen.
async fn in_the_middle(ingest: &Service, text: &str) -> (Accepted, Vec<Event>) {
    let accepted = ingest.say(None, text).await;
    let seen = ingest.stream(&accepted.task, None).await.some(5).await;
    (accepted, seen)
}

#[tokio::test]
async fn a_killed_worker_is_replaced_and_its_reader_sees_one_reply() {
    let Some(world) = World::new(slow_then_fast("killed")).await else { return };
    let (ingest, worker, _persist) = world.all().await;
    let (accepted, mut seen) = in_the_middle(&ingest, "killed").await;
    let _other = world.llm_worker().await;
    let mut events = ingest.stream(&accepted.task, Some(&seen.last().unwrap().id)).await;
    worker.kill();
    let killed = Instant::now();
    seen.extend(events.until("reset").await);
    let took = killed.elapsed();
    println!("another worker went on {took:?} after the first was killed");
    assert!(took < BOUND, "{took:?}");
    seen.extend(events.rest().await);
    taken_over(&seen, "killed");
    assert_eq!(ingest.recorded(&accepted.session, 2).await[1], expected_varied_reply("killed", 1, TOKENS));
}

#[tokio::test]
async fn a_worker_that_hangs_loses_its_lease_and_nothing_of_it_shows_when_it_wakes() {
    let Some(world) = World::new(slow_then_fast("hangs")).await else { return };
    let (ingest, _persist) = tokio::join!(world.ingest(), world.persist_worker());
    // A way of its own to Pub/Sub.
    let (proxy, command) = world.another_way_to_pubsub("llm-worker").await;
    let mut sleeper = Service::start(command).await;
    let (accepted, mut seen) = in_the_middle(&ingest, "hangs").await;
    let other = world.llm_worker().await;
    let mut events = ingest.stream(&accepted.task, Some(&seen.last().unwrap().id)).await;
    sleeper.process.signal("STOP");
    // Nobody answers pings any more: servers cut such a connection. The emulator does not ping.
    proxy.refuse();
    let stopped = Instant::now();
    seen.extend(events.rest().await);
    println!("the reply was whole {:?} after the first worker hung", stopped.elapsed());
    taken_over(&seen, "hangs");
    proxy.heal();
    sleeper.process.signal("CONT");
    let woken = Instant::now();
    // It finds out, and lets go of the model.
    world.mock.wait_for(crate::support::PATIENCE, |log| log[0].disconnected_ms.is_some()).await;
    assert!(world.mock.requests()[0].disconnected_ms.is_some(), "it still reads the model");
    let whole = ingest.stream(&accepted.task, None).await.rest().await;
    assert_eq!(reply_of(&whole), expected_varied_reply("hangs", 1, TOKENS));
    assert_eq!(ingest.recorded(&accepted.session, 2).await[1], expected_varied_reply("hangs", 1, TOKENS));
    println!("the worker that hung let go of the model {:?} after it woke", woken.elapsed());
    // It works as before, and is all there is.
    other.stop().await;
    let asked = Instant::now();
    let next = ingest.say(Some(&accepted.session), "next").await;
    ingest.completed(&next.task).await;
    println!("it answered the next message after {:?}", asked.elapsed());
    assert_eq!(ingest.recorded(&accepted.session, 4).await.len(), 4);
    eventually("it is ready", async || sleeper.is_ready().await.then_some(())).await;
    assert!(!sleeper.process.has_ended());
}
