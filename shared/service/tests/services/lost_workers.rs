//! A worker that hangs, or is gone: another one goes on once the lease has run out.

use std::time::{Duration, Instant};

use parlance_mock_llm::{Behaviour, Script, expected_varied_reply};

use crate::support::{Event, Service, World, eventually, reply_of};

const TOKENS: u32 = 60;
/// The ack deadline of a subscription and the lease of a claim, one after the other at the worst, and what is in between.
const BOUND: Duration = Duration::from_secs(30);

/// The first request takes longer than anybody waits, and says other words than the next one.
fn slow_then_fast() -> Script {
    let reply = Behaviour { vary: true, ..Behaviour::tokens(TOKENS) };
    let slow = Behaviour { tokens: 2_000, ..reply.clone() }.with_token_delay(Duration::from_millis(20));
    Script::in_turn([slow], reply)
}

/// The events of a task that a second worker took over, checked.
#[track_caller]
fn taken_over(seen: &[Event], text: &str) {
    let reset = seen.iter().find(|event| event.name == "reset").unwrap_or_else(|| panic!("no reset: {seen:?}"));
    assert_eq!((&reset.data["attempt"], &reset.data["reason"]), (&2.into(), &"worker_lost".into()));
    assert_eq!(reply_of(seen), expected_varied_reply(text, 1, TOKENS));
    assert_eq!(seen.last().unwrap().name, "done");
}

/// A worker that is in the middle of a reply, and what its reader has seen.
async fn in_the_middle(world: &World, ingest: &Service, text: &str) -> (Service, crate::support::Accepted, Vec<Event>) {
    let worker = world.llm_worker().await;
    let accepted = ingest.say(None, text).await;
    let seen = ingest.stream(&accepted.task, None).await.some(5).await;
    (worker, accepted, seen)
}

#[tokio::test]
async fn a_killed_worker_is_replaced_and_its_reader_sees_one_reply() {
    let Some(world) = World::new(slow_then_fast()).await else { return };
    let (ingest, _persist) = tokio::join!(world.ingest(), world.persist_worker());
    let (worker, accepted, mut seen) = in_the_middle(&world, &ingest, "killed").await;
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
    let Some(world) = World::new(slow_then_fast()).await else { return };
    let world = world.with("LOG_LEVEL", "debug");
    let (ingest, _persist) = tokio::join!(world.ingest(), world.persist_worker());
    let (mut sleeper, accepted, mut seen) = in_the_middle(&world, &ingest, "hangs").await;
    let other = world.llm_worker().await;
    let mut events = ingest.stream(&accepted.task, Some(&seen.last().unwrap().id)).await;
    sleeper.process.signal("STOP");
    let stopped = Instant::now();
    seen.extend(events.rest().await);
    println!("the reply was whole {:?} after the first worker hung", stopped.elapsed());
    taken_over(&seen, "hangs");
    sleeper.process.signal("CONT");
    // It finds out, and lets go of the model.
    world.mock.wait_for(crate::support::PATIENCE, |log| log[0].disconnected_ms.is_some()).await;
    assert!(world.mock.requests()[0].disconnected_ms.is_some(), "it still reads the model");
    let whole = ingest.stream(&accepted.task, None).await.rest().await;
    assert_eq!(reply_of(&whole), expected_varied_reply("hangs", 1, TOKENS));
    assert_eq!(ingest.recorded(&accepted.session, 2).await[1], expected_varied_reply("hangs", 1, TOKENS));
    // It works as before, and is all there is.
    other.stop().await;
    let next = ingest.say(Some(&accepted.session), "next").await;
    ingest.completed(&next.task).await;
    assert_eq!(ingest.recorded(&accepted.session, 4).await.len(), 4);
    eventually("it is ready", async || sleeper.is_ready().await.then_some(())).await;
    assert!(!sleeper.process.has_ended());
}

#[tokio::test]
async fn tmp_a_successor_gets_the_next_message_of_a_session() {
    let Some(world) = World::new(Script::default()).await else { return };
    let world = world.with("PUBSUB_EMULATOR_HOST", "127.0.0.1:18085").with("LOG_LEVEL", "debug");
    let (ingest, _persist) = tokio::join!(world.ingest(), world.persist_worker());
    let first = world.llm_worker().await;
    let one = ingest.say(None, "one").await;
    ingest.completed(&one.task).await;
    let second = world.llm_worker().await;
    first.stop().await;
    let began = Instant::now();
    let two = ingest.say(Some(&one.session), "two").await;
    ingest.completed(&two.task).await;
    println!("TMP successor {:?}", began.elapsed());
    let third = world.llm_worker().await;
    second.kill();
    let began = Instant::now();
    let two = ingest.say(Some(&one.session), "three").await;
    ingest.completed(&two.task).await;
    println!("TMP after kill {:?}", began.elapsed());
    third.process.signal("STOP");
    tokio::time::sleep(Duration::from_secs(12)).await;
    third.process.signal("CONT");
    let began = Instant::now();
    let two = ingest.say(Some(&one.session), "four").await;
    ingest.completed(&two.task).await;
    println!("TMP after stop and cont {:?}", began.elapsed());
}
