//! A subscription can be set to a time.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{
    BusHarness, MAIN, OTHER, consumer, done, fail, look, main_consumer, next_are, next_done, next_is, nothing_waits,
    publish, replay, settle,
};

const APART: Duration = Duration::from_secs(5);

/// Publishes these at times apart; gives the time of each.
async fn publish_apart<H: BusHarness>(harness: &mut H, messages: &[(&str, &str)]) -> Vec<DateTime<Utc>> {
    let mut times = Vec::new();
    for (key, id) in messages {
        harness.pass(APART).await;
        // With real clocks between here and the bus, this stays clear of the message on either side.
        times.push(harness.now() - chrono::TimeDelta::seconds(1));
        publish(harness, key, id).await;
    }
    harness.pass(APART).await;
    times
}

/// Sets [`MAIN`] to a time at which so many messages wait.
async fn seek<H: BusHarness>(harness: &H, to: DateTime<Utc>, waiting: u64) {
    let counted = harness.admin().seek(MAIN, to).await.expect("a seek");
    assert!(counted.is_none_or(|counted| counted == waiting), "{counted:?} wait, not {waiting}");
}

/// What was published since, in order, as if never delivered.
pub async fn back_delivers_again<H: BusHarness>(mut harness: H) {
    if !harness.seeks() {
        return;
    }
    let mut consumer = main_consumer(&harness).await;
    let times = publish_apart(&mut harness, &[("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1")]).await;
    for delivery in next_are(&mut consumer, ["a1", "b1"]).await {
        done(delivery).await;
    }
    next_done(&mut consumer, "a2").await;
    drop(next_is(&mut consumer, "a3").await);
    seek(&harness, times[1], 3).await;
    publish(&harness, "a", "a4").await;
    harness.check().await;
    let [a2, b1] = next_are(&mut consumer, ["a2", "b1"]).await;
    assert_eq!((a2.received.attempt, a2.received.unanswered), (1, 0));
    done(b1).await;
    nothing_waits(&harness, &mut consumer).await;
    done(a2).await;
    let a3 = next_is(&mut consumer, "a3").await;
    assert_eq!((a3.received.attempt, a3.received.unanswered), (1, 0));
    done(a3).await;
    next_done(&mut consumer, "a4").await;
    nothing_waits(&harness, &mut consumer).await;
}

/// What was published before does not come any more, after a crash neither.
pub async fn forward_counts_as_done<H: BusHarness>(mut harness: H) {
    if !harness.seeks() {
        return;
    }
    let mut consumer = main_consumer(&harness).await;
    let times = publish_apart(&mut harness, &[("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1")]).await;
    drop(next_is(&mut consumer, "a1").await);
    seek(&harness, times[2], 2).await;
    harness.check().await;
    let [a3, _not_answered] = next_are(&mut consumer, ["a3", "b1"]).await;
    done(a3).await;
    harness.restart().await;
    let mut consumer = main_consumer(&harness).await;
    next_done(&mut consumer, "b1").await;
    nothing_waits(&harness, &mut consumer).await;
    publish(&harness, "a", "a4").await;
    let now = harness.now() + chrono::TimeDelta::seconds(60);
    seek(&harness, now, 0).await;
    nothing_waits(&harness, &mut consumer).await;
}

/// They stay, and can be redriven.
pub async fn leaves_dead_letters_alone<H: BusHarness>(mut harness: H) {
    if !harness.seeks() {
        return;
    }
    let mut consumer = main_consumer(&harness).await;
    let times = publish_apart(&mut harness, &[("a", "a1"), ("a", "a2")]).await;
    settle(next_is(&mut consumer, "a1").await, fail()).await;
    next_done(&mut consumer, "a2").await;
    seek(&harness, times[0], 1).await;
    next_done(&mut consumer, "a2").await;
    let (mut pass, letters) = look(&harness, MAIN).await;
    assert_eq!(letters.len(), 1);
    assert!(pass.redrive(&letters[0].id, &replay()).await.unwrap());
    drop(pass);
    next_done(&mut consumer, "a1").await;
    nothing_waits(&harness, &mut consumer).await;
}

/// Others do not notice.
pub async fn is_one_subscriptions_own<H: BusHarness>(mut harness: H) {
    if !harness.seeks() {
        return;
    }
    harness.bus().ensure(&[MAIN, OTHER]).await.unwrap();
    let times = publish_apart(&mut harness, &[("a", "a1"), ("a", "a2")]).await;
    let (mut main, mut other) = (consumer(&harness, MAIN).await, consumer(&harness, OTHER).await);
    next_done(&mut main, "a1").await;
    next_done(&mut other, "a1").await;
    seek(&harness, times[0], 2).await;
    next_done(&mut other, "a2").await;
    next_done(&mut main, "a1").await;
    next_done(&mut main, "a2").await;
    publish(&harness, "a", "a3").await;
    next_done(&mut other, "a3").await;
    next_done(&mut main, "a3").await;
}
