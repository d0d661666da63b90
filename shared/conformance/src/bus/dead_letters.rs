//! What was given up is kept until an operator decides.

use cloudevents::AttributesReader as _;

use parlance_shared::replay::Replay;

use super::{
    BusHarness, MAIN, OTHER, consumer, done, event, fail, look, main_consumer, next, next_done, next_is, no_letters,
    nothing_waits, publish, replay, settle,
};

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
    let (pass, letters) = look(&harness, MAIN).await;
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!(letter.event, event("a1"));
    assert_eq!((letter.subscription.as_str(), letter.ordering_key.as_str()), (MAIN.name, "a"));
    assert_eq!((letter.reason.code.as_str(), letter.reason.message.as_str()), ("broken", "It can't work."));
    assert_eq!(letter.attempts, 2);
    assert!((letter.published_at - published_at).abs() < chrono::TimeDelta::seconds(5));
    assert!(letter.dead_at >= letter.published_at);
    drop(pass);
    no_letters(&harness, OTHER).await;
    let (_pass, again) = look(&harness, MAIN).await;
    assert_eq!(again[0].event, event("a1"), "looking takes nothing away");
    let mut other = super::consumer(&harness, OTHER).await;
    next_done(&mut other, "a1").await;
    next_done(&mut other, "a2").await;
    nothing_waits(&harness, &mut super::consumer(&harness, MAIN).await).await;
}

/// All of them, once each.
pub async fn they_are_listed_in_pages<H: BusHarness>(harness: H) {
    const LETTERS: usize = 1010;
    let mut consumer = main_consumer(&harness).await;
    for n in 0..LETTERS {
        publish(&harness, &format!("key-{}", n % 50), &format!("m{n:04}")).await;
    }
    let mut ids = Vec::new();
    while ids.len() < LETTERS {
        let delivery = next(&mut consumer).await;
        ids.push(delivery.received.event.id().to_owned());
        settle(delivery, fail()).await;
    }
    let mut pass = harness.admin().dead_letters(MAIN).await.unwrap();
    let mut seen = Vec::new();
    loop {
        let page = pass.next_page().await.unwrap();
        assert!(page.len() <= 1000);
        if page.is_empty() {
            break;
        }
        seen.extend(page.into_iter().map(|letter| (letter.event.id().to_owned(), letter.id)));
    }
    assert!(pass.next_page().await.unwrap().is_empty(), "the end stays the end");
    if !harness.orders_dead_letters() {
        seen.sort();
        ids.sort();
    }
    assert!(seen.iter().map(|(event, _)| event).eq(&ids), "{seen:?}");
    // Those of the first page are still at hand.
    assert!(pass.discard(&seen[0].1).await.unwrap());
    drop(pass);
    let (_pass, rest) = look(&harness, MAIN).await;
    assert_eq!(rest.len(), LETTERS - 1);
}

/// It starts over, at its old place, and says who sent it.
pub async fn a_redriven_message_comes_before_those_that_wait<H: BusHarness>(mut harness: H) {
    let mut consumer = main_consumer(&harness).await;
    for id in ["a1", "a2", "a3"] {
        publish(&harness, "a", id).await;
    }
    settle(next_is(&mut consumer, "a1").await, fail()).await;
    settle(next_is(&mut consumer, "a2").await, super::retry(None)).await;
    let (mut pass, letters) = look(&harness, MAIN).await;
    let id = &letters[0].id;
    let mut of_another = harness.admin().dead_letters(OTHER).await.unwrap();
    assert!(!of_another.redrive(id, &replay()).await.unwrap(), "it is not that subscription's");
    let replay = replay();
    assert!(pass.redrive(id, &replay).await.unwrap());
    assert!(!pass.redrive(id, &replay).await.unwrap(), "it is no longer dead");
    drop(pass);
    no_letters(&harness, MAIN).await;
    harness.check().await;
    if !harness.keeps_place_of_redriven() {
        next_done(&mut consumer, "a2").await;
        next_done(&mut consumer, "a3").await;
    }
    let again = next_is(&mut consumer, "a1").await;
    assert_eq!((again.received.attempt, again.received.unanswered), (1, 0));
    assert_eq!(Replay::of(&again.received.event), Some(replay));
    if harness.keeps_place_of_redriven() {
        harness.pass(MAIN.retry_max).await;
        nothing_waits(&harness, &mut consumer).await;
        done(again).await;
        next_done(&mut consumer, "a2").await;
        next_done(&mut consumer, "a3").await;
    } else {
        done(again).await;
    }
}

/// Two of a key are never out.
pub async fn a_redriven_message_waits_for_the_one_that_is_out<H: BusHarness>(mut harness: H) {
    let mut consumer = main_consumer(&harness).await;
    for id in ["a1", "a2", "a3"] {
        publish(&harness, "a", id).await;
    }
    settle(next_is(&mut consumer, "a1").await, fail()).await;
    let out = next_is(&mut consumer, "a2").await;
    redrive_the_only_letter(&harness).await;
    harness.check().await;
    nothing_waits(&harness, &mut consumer).await;
    done(out).await;
    let (then, last) = if harness.keeps_place_of_redriven() { ("a1", "a3") } else { ("a3", "a1") };
    next_done(&mut consumer, then).await;
    let last = next_is(&mut consumer, last).await;
    // With nothing behind the one that is out, too.
    publish(&harness, "b", "b1").await;
    settle(next_is(&mut consumer, "b1").await, fail()).await;
    publish(&harness, "b", "b2").await;
    let out = next_is(&mut consumer, "b2").await;
    redrive_the_only_letter(&harness).await;
    nothing_waits(&harness, &mut consumer).await;
    done(out).await;
    next_done(&mut consumer, "b1").await;
    done(last).await;
    harness.check().await;
}

/// Whatever its own bus makes of its order.
pub async fn a_redriven_message_is_its_subscriptions_alone<H: BusHarness>(harness: H) {
    harness.bus().ensure(&[MAIN, OTHER]).await.unwrap();
    let (mut main, mut other) = (consumer(&harness, MAIN).await, consumer(&harness, OTHER).await);
    publish(&harness, "a", "a1").await;
    next_done(&mut other, "a1").await;
    settle(next_is(&mut main, "a1").await, fail()).await;
    redrive_the_only_letter(&harness).await;
    // Given up again, it is a letter again, and its mark is replaced.
    let again = next_is(&mut main, "a1").await;
    let first = Replay::of(&again.received.event).expect("a mark");
    settle(again, fail()).await;
    let (mut pass, letters) = look(&harness, MAIN).await;
    assert_eq!(Replay::of(&letters[0].event), Some(first));
    let second = replay();
    assert!(pass.redrive(&letters[0].id, &second).await.unwrap());
    drop(pass);
    let again = next_is(&mut main, "a1").await;
    assert_eq!(Replay::of(&again.received.event), Some(second));
    done(again).await;
    nothing_waits(&harness, &mut main).await;
    // Nothing but the sentinel of the line above.
    assert!(super::next(&mut other).await.received.event.id().starts_with("sentinel-"));
    no_letters(&harness, MAIN).await;
}

async fn redrive_the_only_letter<H: BusHarness>(harness: &H) {
    let (mut pass, letters) = look(harness, MAIN).await;
    assert_eq!(letters.len(), 1);
    assert!(pass.redrive(&letters[0].id, &replay()).await.unwrap());
}

/// For this subscription.
pub async fn a_discarded_message_is_gone<H: BusHarness>(harness: H) {
    let mut consumer = main_consumer(&harness).await;
    publish(&harness, "a", "a1").await;
    settle(next_is(&mut consumer, "a1").await, fail()).await;
    let (mut pass, letters) = look(&harness, MAIN).await;
    let id = &letters[0].id;
    let mut of_another = harness.admin().dead_letters(OTHER).await.unwrap();
    assert!(!of_another.discard(id).await.unwrap(), "it is not that subscription's");
    assert!(pass.discard(id).await.unwrap());
    assert!(!pass.discard(id).await.unwrap());
    assert!(!pass.redrive(id, &replay()).await.unwrap());
    drop(pass);
    no_letters(&harness, MAIN).await;
    nothing_waits(&harness, &mut consumer).await;
}
