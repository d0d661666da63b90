//! What was given up is kept until an operator decides.

use cloudevents::AttributesReader as _;

use parlance_shared::port::bus::DeadLetter;

use super::{
    BusHarness, MAIN, OTHER, consumer, done, event, fail, main_consumer, next_done, next_is, nothing_waits, publish,
    settle,
};

async fn letters<H: BusHarness>(harness: &H) -> Vec<DeadLetter> {
    harness.admin().dead_letters(MAIN, 0, 100).await.unwrap()
}

/// The next of its key follows, other subscriptions go on, and a crash loses nothing.
pub async fn a_failed_message_is_kept_with_its_reason<H: BusHarness>(mut harness: H) {
    harness.bus().ensure(&[MAIN, OTHER]).await.unwrap();
    let mut consumer = consumer(&harness, MAIN).await;
    let published_at = harness.now();
    publish(&harness, "a", "a1").await;
    publish(&harness, "a", "a2").await;
    drop(next_is(&mut consumer, "a1").await);
    settle(next_is(&mut consumer, "a1").await, fail()).await;
    next_done(&mut consumer, "a2").await;
    harness.restart().await;
    let letters = letters(&harness).await;
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!(letter.event, event("a1"));
    assert_eq!((letter.subscription.as_str(), letter.ordering_key.as_str()), (MAIN.name, "a"));
    assert_eq!((letter.reason.code.as_str(), letter.reason.message.as_str()), ("broken", "It can't work."));
    assert_eq!(letter.attempts, 2);
    assert!((letter.published_at - published_at).abs() < chrono::TimeDelta::seconds(5));
    assert!(letter.dead_at >= letter.published_at);
    assert!(harness.admin().dead_letters(OTHER, 0, 100).await.unwrap().is_empty());
    let mut other = super::consumer(&harness, OTHER).await;
    next_done(&mut other, "a1").await;
    next_done(&mut other, "a2").await;
    nothing_waits(&harness, &mut super::consumer(&harness, MAIN).await).await;
}

/// By id, from the oldest.
pub async fn they_are_listed_in_pages<H: BusHarness>(harness: H) {
    let mut consumer = main_consumer(&harness).await;
    for n in 0..5 {
        let id = format!("m{n}");
        publish(&harness, "a", &id).await;
        settle(next_is(&mut consumer, &id).await, fail()).await;
    }
    let (mut after, mut seen) = (0, Vec::new());
    loop {
        let page = harness.admin().dead_letters(MAIN, after, 2).await.unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        after = last.id;
        seen.extend(page.iter().map(|letter| letter.event.id().to_owned()));
    }
    assert_eq!(seen, ["m0", "m1", "m2", "m3", "m4"]);
}

/// It starts over, at its old place.
pub async fn a_redriven_message_comes_before_those_that_wait<H: BusHarness>(mut harness: H) {
    let mut consumer = main_consumer(&harness).await;
    for id in ["a1", "a2", "a3"] {
        publish(&harness, "a", id).await;
    }
    settle(next_is(&mut consumer, "a1").await, fail()).await;
    settle(next_is(&mut consumer, "a2").await, super::retry(None)).await;
    let id = letters(&harness).await[0].id;
    assert!(!harness.admin().redrive(OTHER, id).await.unwrap(), "it is not that subscription's");
    assert!(harness.admin().redrive(MAIN, id).await.unwrap());
    assert!(!harness.admin().redrive(MAIN, id).await.unwrap(), "it is no longer dead");
    assert!(letters(&harness).await.is_empty());
    harness.check().await;
    let again = next_is(&mut consumer, "a1").await;
    assert_eq!((again.received.attempt, again.received.unanswered), (1, 0));
    harness.pass(MAIN.retry_max).await;
    nothing_waits(&harness, &mut consumer).await;
    done(again).await;
    next_done(&mut consumer, "a2").await;
    next_done(&mut consumer, "a3").await;
}

/// Two of a key are never out.
pub async fn a_redriven_message_waits_for_the_one_that_is_out<H: BusHarness>(mut harness: H) {
    let mut consumer = main_consumer(&harness).await;
    for id in ["a1", "a2", "a3"] {
        publish(&harness, "a", id).await;
    }
    settle(next_is(&mut consumer, "a1").await, fail()).await;
    let out = next_is(&mut consumer, "a2").await;
    let id = letters(&harness).await[0].id;
    assert!(harness.admin().redrive(MAIN, id).await.unwrap());
    harness.check().await;
    nothing_waits(&harness, &mut consumer).await;
    done(out).await;
    next_done(&mut consumer, "a1").await;
    let a3 = next_is(&mut consumer, "a3").await;
    // With nothing behind the one that is out, too.
    publish(&harness, "b", "b1").await;
    settle(next_is(&mut consumer, "b1").await, fail()).await;
    publish(&harness, "b", "b2").await;
    let out = next_is(&mut consumer, "b2").await;
    let id = letters(&harness).await[0].id;
    assert!(harness.admin().redrive(MAIN, id).await.unwrap());
    nothing_waits(&harness, &mut consumer).await;
    done(out).await;
    next_done(&mut consumer, "b1").await;
    done(a3).await;
    harness.check().await;
}

/// For this subscription.
pub async fn a_discarded_message_is_gone<H: BusHarness>(harness: H) {
    let mut consumer = main_consumer(&harness).await;
    publish(&harness, "a", "a1").await;
    settle(next_is(&mut consumer, "a1").await, fail()).await;
    let id = letters(&harness).await[0].id;
    assert!(!harness.admin().discard(OTHER, id).await.unwrap(), "it is not that subscription's");
    assert!(harness.admin().discard(MAIN, id).await.unwrap());
    assert!(!harness.admin().discard(MAIN, id).await.unwrap());
    assert!(!harness.admin().redrive(MAIN, id).await.unwrap());
    assert!(letters(&harness).await.is_empty());
    nothing_waits(&harness, &mut consumer).await;
}
