//! What is no event, what is too large, what takes long, what waits in a long queue, and what a stop leaves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "a test")]

mod support;

use std::time::{Duration, Instant};

use chrono::DateTime;
use cloudevents::{AttributesReader as _, AttributesWriter as _};
use google_cloud_auth::credentials::anonymous;
use google_cloud_pubsub::{client::BasePublisher, model::Message};
use parlance_pubsub::{MAX_MESSAGE_BYTES, PubSubOptions};
use parlance_shared::{
    port::bus::{Bus as _, BusAdmin as _, DeadLetterSink as _, Outcome, Reason},
    replay::Replay,
};

use support::{MAIN, Process, TOPIC, emulator, event, letters, next, next_is, project, publish, settle};

fn replay() -> Replay {
    Replay { id: uuid::Uuid::now_v7(), by: "ops".into(), at: DateTime::UNIX_EPOCH, reopens: false }
}

#[tokio::test]
async fn what_is_no_event_becomes_a_dead_letter_and_its_key_goes_on() {
    let project = project();
    let Some(process) = Process::on_emulator(&project).await else { return };
    process.bus.ensure(&[MAIN]).await.unwrap();
    let mut consumer = process.bus.subscribe(MAIN, 4).await.unwrap();
    let elsewhere = BasePublisher::builder()
        .with_endpoint(format!("http://{}", emulator().unwrap()))
        .with_credentials(anonymous::Builder::new().build())
        .build()
        .await
        .unwrap();
    let publisher = elsewhere.publisher(format!("projects/{project}/topics/{}", TOPIC.0)).build();
    let foreign = Message::new().set_data("not ours").set_attributes([("from", "elsewhere")]).set_ordering_key("a");
    publisher.publish(foreign).await.unwrap();
    publish(&process.bus, "a", "a1").await;
    settle(next_is(&mut consumer, "a1").await, Outcome::Done).await;
    let (mut pass, found) = letters(&process.bus).await;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].reason.code.as_str(), found[0].event.ty()), ("unreadable_message", "parlance.unreadable.v1"));
    assert_eq!(found[0].ordering_key, "a");
    // Sent again it is what it was, and comes back.
    assert!(pass.redrive(&found[0].id, &replay()).await.unwrap());
    drop(pass);
    publish(&process.bus, "a", "a2").await;
    settle(next_is(&mut consumer, "a2").await, Outcome::Done).await;
    let (mut pass, again) = letters(&process.bus).await;
    assert_eq!(again.len(), 1);
    assert_ne!(again[0].id, found[0].id);
    assert_eq!(again[0].event.data(), found[0].event.data());
    assert!(pass.discard(&again[0].id).await.unwrap());
}

#[tokio::test]
async fn what_a_push_endpoint_gave_up_is_a_dead_letter_as_any() {
    let Some(process) = Process::on_emulator(&project()).await else { return };
    process.bus.ensure(&[MAIN]).await.unwrap();
    let mut consumer = process.bus.subscribe(MAIN, 1).await.unwrap();
    publish(&process.bus, "a", "a1").await;
    let delivery = next_is(&mut consumer, "a1").await;
    process.bus.keep(MAIN, &delivery.received, &Reason::new("broken", "It can't work.")).await.unwrap();
    let (mut pass, found) = letters(&process.bus).await;
    assert_eq!(found[0].event, event("a1"));
    assert_eq!((found[0].reason.code.as_str(), found[0].ordering_key.as_str()), ("broken", "a"));
    settle(delivery, Outcome::Done).await;
    assert!(pass.redrive(&found[0].id, &replay()).await.unwrap());
    assert!(Replay::of(&next_is(&mut consumer, "a1").await.received.event).is_some());
}

#[tokio::test]
async fn a_large_message_passes_and_one_too_large_is_refused() {
    let Some(process) = Process::on_emulator(&project()).await else { return };
    process.bus.ensure(&[MAIN]).await.unwrap();
    let mut consumer = process.bus.subscribe(MAIN, 1).await.unwrap();
    let mut large = event("large");
    large.set_data("application/octet-stream", vec![7_u8; 9_000_000]);
    process.bus.publish(TOPIC, "a", large.clone()).await.unwrap();
    let delivery = next_is(&mut consumer, "large").await;
    assert_eq!(delivery.received.event.data(), large.data());
    settle(delivery, Outcome::Done).await;
    large.set_data("application/octet-stream", vec![7_u8; MAX_MESSAGE_BYTES]);
    large.set_subject(Some("s"));
    let refused = process.bus.publish(TOPIC, "a", large).await.unwrap_err();
    assert!(!refused.is_transient() && refused.to_string().contains("too large"), "{refused}");
}

#[tokio::test]
async fn the_emulator_says_that_it_can_not_seek() {
    let Some(process) = Process::on_emulator(&project()).await else { return };
    process.bus.ensure(&[MAIN]).await.unwrap();
    let refused = process.bus.seek(MAIN, DateTime::UNIX_EPOCH).await.unwrap_err();
    assert!(!refused.is_transient() && refused.to_string().contains("the emulator can't seek"), "{refused}");
}

#[tokio::test]
async fn work_that_takes_longer_than_the_ack_deadline_is_not_disturbed() {
    let project = project();
    let Some(process) = Process::on_emulator(&project).await else { return };
    process.bus.ensure(&[MAIN]).await.unwrap();
    let mut consumer = process.bus.subscribe(MAIN, 4).await.unwrap();
    publish(&process.bus, "a", "a1").await;
    let mut delivery = next_is(&mut consumer, "a1").await;
    publish(&process.bus, "a", "a2").await;
    for _ in 0..8 {
        let other = tokio::time::timeout(Duration::from_secs(2), consumer.next()).await;
        assert!(other.is_err(), "nothing comes meanwhile");
        delivery.lease.extend().await.unwrap();
    }
    settle(delivery, Outcome::Done).await;
    settle(next_is(&mut consumer, "a2").await, Outcome::Done).await;
}

/// Pub/Sub's own policy would move it silently, and its task would have no end.
#[tokio::test]
async fn a_message_is_given_up_before_pubsub_does_so_itself() {
    let Some(process) = Process::on_emulator(&project()).await else { return };
    process.bus.ensure(&[MAIN]).await.unwrap();
    let mut consumer = process.bus.subscribe(MAIN, 1).await.unwrap();
    publish(&process.bus, "a", "a1").await;
    let mut deliveries = 1;
    loop {
        let delivery = next_is(&mut consumer, "a1").await;
        if delivery.received.unanswered >= MAIN.max_unanswered {
            settle(delivery, Outcome::Done).await;
            break;
        }
        settle(delivery, Outcome::HandBack).await;
        deliveries += 1;
    }
    assert_eq!(deliveries, 95);
}

/// A session with a long queue holds back neither others nor its own order.
#[tokio::test]
async fn a_long_queue_of_one_key_does_not_block_the_others() {
    const LONG: usize = 300;
    let Some(host) = emulator() else { return };
    let options = PubSubOptions { held_per_key: 20, ..PubSubOptions::new(project(), Some(host)) };
    let process = Process::start(options).await;
    process.bus.ensure(&[MAIN]).await.unwrap();
    let mut consumer = process.bus.subscribe(MAIN, 4).await.unwrap();
    for n in 0..LONG {
        publish(&process.bus, "long", &format!("l{n}")).await;
    }
    let first = next_is(&mut consumer, "l0").await;
    for n in 0..20 {
        let (key, begun) = (format!("short-{n}"), Instant::now());
        publish(&process.bus, &key, &key).await;
        settle(next_is(&mut consumer, &key).await, Outcome::Done).await;
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
    settle(first, Outcome::Done).await;
    for n in 1..LONG {
        settle(next_is(&mut consumer, &format!("l{n}")).await, Outcome::Done).await;
    }
}

/// After a stop, what was answered does not come again, and what was not comes at once; whoever holds a delivery
/// and never answers does not hold up the stop.
#[tokio::test]
async fn a_stop_sends_all_answers_and_gives_back_the_rest() {
    let project = project();
    let Some(process) = Process::on_emulator(&project).await else { return };
    process.bus.ensure(&[MAIN]).await.unwrap();
    let mut consumer = process.bus.subscribe(MAIN, 4).await.unwrap();
    for n in 0..6 {
        publish(&process.bus, &format!("key-{n}"), &format!("m{n}")).await;
    }
    let answered = next(&mut consumer).await;
    let leaked = next(&mut consumer).await;
    let done = answered.received.event.id().to_owned();
    settle(answered, Outcome::Done).await;
    drop(consumer);
    let begun = Instant::now();
    process.lifecycle.stop(Duration::from_millis(500), Duration::from_secs(4)).await;
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    std::mem::forget(leaked);
    process.kill();

    let next_process = Process::on_emulator(&project).await.unwrap();
    let mut consumer = next_process.bus.subscribe(MAIN, 8).await.unwrap();
    let begun = Instant::now();
    let mut seen = Vec::new();
    for _ in 0..5 {
        let delivery = next(&mut consumer).await;
        seen.push(delivery.received.event.id().to_owned());
        settle(delivery, Outcome::Done).await;
    }
    assert!(!seen.contains(&done), "{seen:?}");
    assert!(begun.elapsed() < Duration::from_secs(5), "without waiting for an ack deadline: {:?}", begun.elapsed());
}
