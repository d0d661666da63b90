//! What is published is durable, goes to every subscription, and wakes consumers.

use std::time::Duration;

use cloudevents::AttributesReader as _;

use parlance_shared::port::bus::{Published, Subscription, Topic};

use super::{
    BusHarness, MAIN, OTHER, TOPIC, consumer, done, event, main_consumer, next, next_done, next_is, nothing_waits,
    publish,
};

/// What was acknowledged is there after a crash, to the letter.
pub async fn a_message_survives_a_restart<H: BusHarness>(mut harness: H) {
    harness.bus().ensure(&[MAIN]).await.unwrap();
    let first_at = harness.now();
    publish(&harness, "a", "a1").await;
    publish(&harness, "a", "a2").await;
    harness.restart().await;
    harness.bus().ensure(&[MAIN]).await.unwrap();
    let mut consumer = consumer(&harness, MAIN).await;
    let first = next_is(&mut consumer, "a1").await;
    assert_eq!(first.received.event, event("a1"));
    assert_eq!(first.received.ordering_key, "a");
    assert_eq!((first.received.attempt, first.received.unanswered), (1, 0));
    assert!((first.received.published_at - first_at).abs() < chrono::TimeDelta::seconds(5));
    done(first).await;
    harness.restart().await;
    let mut consumer = super::consumer(&harness, MAIN).await;
    next_done(&mut consumer, "a2").await;
    nothing_waits(&harness, &mut consumer).await;
}

/// Each has its own deliveries; other topics' have none.
pub async fn every_subscription_gets_every_message<H: BusHarness>(harness: H) {
    const ELSEWHERE: Subscription =
        Subscription { name: "conformance-elsewhere", topic: Topic("conformance-elsewhere-topic"), ..MAIN };
    harness.bus().ensure(&[MAIN, OTHER, ELSEWHERE]).await.unwrap();
    for id in ["a1", "a2"] {
        publish(&harness, "a", id).await;
    }
    for subscription in [MAIN, OTHER] {
        let mut consumer = consumer(&harness, subscription).await;
        next_done(&mut consumer, "a1").await;
        next_done(&mut consumer, "a2").await;
    }
    let mut elsewhere = consumer(&harness, ELSEWHERE).await;
    harness.bus().publish(ELSEWHERE.topic, "a", event("e1")).await.unwrap();
    next_done(&mut elsewhere, "e1").await;
}

/// A subscription does not reach back before its own time; ensuring it again changes nothing.
pub async fn a_new_subscription_gets_what_is_published_from_then_on<H: BusHarness>(harness: H) {
    harness.bus().ensure(&[MAIN]).await.unwrap();
    publish(&harness, "a", "a1").await;
    harness.bus().ensure(&[MAIN, OTHER]).await.unwrap();
    publish(&harness, "a", "a2").await;
    harness.bus().ensure(&[MAIN, OTHER]).await.unwrap();
    next_done(&mut consumer(&harness, OTHER).await, "a2").await;
    next_done(&mut consumer(&harness, MAIN).await, "a1").await;
}

/// Publishing is repeatable, also after a crash, and after the message was done.
pub async fn an_event_published_again_is_the_same_message<H: BusHarness>(mut harness: H) {
    if !harness.knows_duplicates() {
        return;
    }
    let mut consumer = main_consumer(&harness).await;
    assert_eq!(harness.bus().publish(TOPIC, "a", event("a1")).await.unwrap(), Published::New);
    let mut another = event("a1");
    another.set_data("application/json", serde_json::json!({ "id": "another" }));
    let again = harness.bus().publish(TOPIC, "b", another.clone()).await.unwrap();
    assert_eq!(again, Published::Duplicate(Box::new(event("a1"))));
    next_done(&mut consumer, "a1").await;
    nothing_waits(&harness, &mut consumer).await;
    harness.restart().await;
    let mut consumer = main_consumer(&harness).await;
    let again = harness.bus().publish(TOPIC, "a", another.clone()).await.unwrap();
    assert_eq!(again, Published::Duplicate(Box::new(event("a1"))));
    nothing_waits(&harness, &mut consumer).await;
    let elsewhere = harness.bus().publish(Topic("conformance-elsewhere-topic"), "a", another).await.unwrap();
    assert_eq!(elsewhere, Published::New, "ids are a topic's own");
}

/// No timer is needed for it: under a manual clock no time passes here.
pub async fn a_publish_wakes_a_waiting_consumer<H: BusHarness>(harness: H) {
    let mut consumer = main_consumer(&harness).await;
    for n in 0..20 {
        let id = format!("m{n}");
        let (delivery, ()) = tokio::join!(next(&mut consumer), async {
            // Long enough for the consumer to fall asleep, most times.
            tokio::time::sleep(Duration::from_millis(n % 4)).await;
            publish(&harness, "a", &id).await;
        });
        assert_eq!(delivery.received.event.id(), id);
        done(delivery).await;
    }
}
