//! The database is away for a while: messages are accepted, what is open stays open, and nobody has to be restarted.

use std::time::{Duration, Instant};

use parlance_mock_llm::{Behaviour, Script, expected_varied_reply};

use crate::support::{World, eventually, reply_of};

const TOKENS: u32 = 100;

/// No two requests get the same words, so that a mix of attempts would show.
fn slow() -> Behaviour {
    Behaviour { vary: true, ..Behaviour::tokens(TOKENS).with_token_delay(Duration::from_millis(30)) }
}

/// The reply of whichever attempt made it.
fn is_whole(reply: &str, text: &str) -> bool {
    (0..4).any(|k| expected_varied_reply(text, k, TOKENS) == reply)
}

#[tokio::test]
async fn messages_are_accepted_meanwhile_also_by_an_instance_that_starts_without_it() {
    let Some(world) = World::new(Script::default()).await else { return };
    let (a, mut worker, _persist) = world.all().await;
    let before = a.say(None, "before").await;
    a.completed(&before.task).await;
    a.recorded(&before.session, 2).await;

    world.to_database.refuse();
    let mut b = world.ingest().await;
    assert!(b.is_ready().await, "messages can be accepted");
    let asked = Instant::now();
    let new = a.say(None, "new session").await;
    let next = a.say(Some(&before.session), "known session").await;
    let by_the_late_one = b.say(None, "by the late one").await;
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    for (instance, accepted) in [(&a, &new), (&a, &next), (&b, &by_the_late_one)] {
        instance.get(&format!("/v1/tasks/{}", accepted.task)).await.come_again();
        assert_eq!(instance.try_stream(&accepted.task, None).await.err(), Some(503));
    }
    assert!(!worker.is_ready().await);
    worker.process.says("not listening to the database").await;

    world.to_database.heal();
    for (instance, accepted, text) in
        [(&b, &new, "new session"), (&b, &next, "known session"), (&a, &by_the_late_one, "by the late one")]
    {
        instance.completed(&accepted.task).await;
        let events = instance.stream(&accepted.task, None).await.rest().await;
        assert_eq!(reply_of(&events), parlance_mock_llm::expected_reply(text, 20));
    }
    assert_eq!(a.recorded(&before.session, 4).await.len(), 4);
    assert_eq!(a.recorded(&by_the_late_one.session, 2).await.len(), 2);
    eventually("the worker is ready again", async || worker.is_ready().await.then_some(())).await;
    assert_eq!(world.mock.requests().len(), 4, "each was answered once");
    assert!(!b.process.has_ended());
}

#[tokio::test]
async fn a_reply_goes_on_where_it_was_once_it_is_back() {
    let Some(world) = World::new(Script::always(slow())).await else { return };
    let (a, mut worker, _persist) = world.all().await;
    let accepted = a.say(None, "interrupted").await;
    let mut events = a.stream(&accepted.task, None).await;
    let mut seen = events.some(8).await;
    world.to_database.refuse();
    worker.process.says("replies don't reach the log").await;
    // Longer than it takes to notice, shorter than a claim lasts.
    a.get(&format!("/v1/tasks/{}", accepted.task)).await.come_again();
    world.to_database.heal();
    let healed = Instant::now();
    seen.extend(events.rest().await);
    println!("the rest came within {:?} of the database", healed.elapsed());
    let reply = reply_of(&seen);
    assert!(is_whole(&reply, "interrupted"), "{reply}");
    let end = seen.last().unwrap();
    assert_eq!((end.name.as_str(), &end.data["attempt"]), ("done", &1.into()), "no work was lost");
    assert_eq!(a.recorded(&accepted.session, 2).await, ["interrupted", &reply]);
}

#[tokio::test]
async fn an_end_that_can_not_be_stored_waits_for_it() {
    let Some(world) = World::new(Script::always(slow())).await else { return };
    let (a, _worker, _persist) = world.all().await;
    let accepted = a.say(None, "ends meanwhile").await;
    let mut events = a.stream(&accepted.task, None).await;
    let mut seen = events.some(4).await;
    world.to_database.refuse();
    let log = world.mock.wait_for(crate::support::PATIENCE, |log| log[0].ended_ms.is_some()).await;
    assert_eq!(log[0].tokens_sent, TOKENS, "the model was read to its end");
    world.to_database.heal();
    seen.extend(events.rest().await);
    let reply = reply_of(&seen);
    assert_eq!(reply, expected_varied_reply("ends meanwhile", 0, TOKENS));
    assert_eq!(seen.last().unwrap().data["attempt"], 1);
    assert_eq!(a.recorded(&accepted.session, 2).await, ["ends meanwhile", &reply]);
}

#[tokio::test]
async fn connections_that_the_server_cuts_are_made_anew() {
    let Some(world) = World::new(Script::always(slow())).await else { return };
    let (a, _worker, _persist) = world.all().await;
    let accepted = a.say(None, "cut").await;
    let mut events = a.stream(&accepted.task, None).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.extend(events.some(5).await);
        eventually("connections to cut", async || (world.database.cut_all().await > 0).then_some(())).await;
    }
    seen.extend(events.rest().await);
    let reply = reply_of(&seen);
    assert!(is_whole(&reply, "cut"), "{reply}");
    assert_eq!(seen.last().unwrap().data["attempt"], 1, "no work was lost");
    assert_eq!(a.recorded(&accepted.session, 2).await, ["cut", &reply]);
}
