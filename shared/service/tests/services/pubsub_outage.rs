//! Pub/Sub is away for a while: a client is told to come again, and what got a 202 is kept.

use std::time::{Duration, Instant};

use parlance_mock_llm::{Behaviour, Script, expected_reply};

use crate::support::{World, reply_of};

/// A client that waits longer has given up.
const BOUND: Duration = Duration::from_secs(7);
const TOKENS: u32 = 60;

#[tokio::test]
async fn a_reply_is_finished_without_it_and_announced_later() {
    let script = Script::always(Behaviour::tokens(TOKENS).with_token_delay(Duration::from_millis(20)));
    let Some(world) = World::new(script).await else { return };
    let (ingest, mut worker, _persist) = world.all().await;
    let running = ingest.say(None, "runs").await;
    let mut events = ingest.stream(&running.task, None).await;
    let mut seen = events.until("delta").await;

    world.to_pubsub.refuse();
    let asked = Instant::now();
    ingest.try_say(None, "refused").await.come_again();
    assert!(asked.elapsed() < BOUND, "{:?}", asked.elapsed());
    // The database is there, so the reply is, to its end.
    seen.extend(events.rest().await);
    assert_eq!(reply_of(&seen), expected_reply("runs", TOKENS));
    assert_eq!(ingest.task(&running.task).await["status"], "completed");
    ingest.try_say(None, "still refused").await.come_again();

    world.to_pubsub.heal();
    let back = Instant::now();
    assert_eq!(ingest.recorded(&running.session, 2).await, ["runs", &expected_reply("runs", TOKENS)]);
    println!("announced {:?} after Pub/Sub was back", back.elapsed());
    let later = ingest.say(Some(&running.session), "later").await;
    let ended = ingest.completed(&later.task).await;
    println!("the next reply was there {:?} after Pub/Sub was back", back.elapsed());
    assert_eq!(ended["reply"]["content"], expected_reply("later", TOKENS).as_str());
    ingest.recorded(&running.session, 4).await;
    let asked: Vec<_> = world.mock.requests().into_iter().map(|request| request.last_user_text).collect();
    assert_eq!(asked, ["runs", "later"], "nothing that was refused is answered, nothing is answered twice");
    assert!(!worker.process.has_ended());
}

#[tokio::test]
async fn a_pubsub_that_says_nothing_is_a_503_in_time_and_what_was_accepted_is_answered() {
    let Some(world) = World::new(Script::default()).await else { return };
    // Accepted while nobody works.
    let ingest = world.ingest().await;
    let waits = ingest.say(None, "waits").await;
    world.to_pubsub.hold();
    let asked = Instant::now();
    ingest.try_say(None, "no answer").await.come_again();
    assert!(asked.elapsed() < BOUND, "{:?}", asked.elapsed());
    world.to_pubsub.heal();
    let again = ingest.say(None, "again").await;
    let _workers = tokio::join!(world.llm_worker(), world.persist_worker());
    for accepted in [&waits, &again] {
        ingest.completed(&accepted.task).await;
        ingest.recorded(&accepted.session, 2).await;
    }
}
