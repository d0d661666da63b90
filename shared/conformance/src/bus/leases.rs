//! Leases, retries, and what counts as an attempt.

use std::time::{Duration, Instant};

use parlance_shared::port::bus::Outcome;

use super::{
    BusHarness, MAIN, consumer, done, fail, main_consumer, next_after, next_done, next_is, no_letters, nothing_waits,
    publish, retry, settle,
};

/// No time passes.
pub async fn a_dropped_delivery_comes_again_at_once<H: BusHarness>(harness: H) {
    let mut consumer = main_consumer(&harness).await;
    publish(&harness, "a", "a1").await;
    publish(&harness, "a", "a2").await;
    for n in 0..4 {
        let delivery = next_is(&mut consumer, "a1").await;
        assert_eq!((delivery.received.attempt, delivery.received.unanswered), (n + 1, n));
        drop(delivery);
    }
    next_done(&mut consumer, "a1").await;
    next_done(&mut consumer, "a2").await;
}

/// The message goes to another, and no late answer of the first changes anything: neither what the second holds, nor
/// whether its own answer counts.
pub async fn an_expired_lease_is_lost<H: BusHarness>(mut harness: H) {
    let mut consumer = main_consumer(&harness).await;
    for (n, late_answer) in (0..).zip([Outcome::Done, fail(), retry(None), Outcome::HandBack]) {
        let (key, first, second) = (format!("key-{n}"), format!("m{n}-1"), format!("m{n}-2"));
        publish(&harness, &key, &first).await;
        publish(&harness, &key, &second).await;
        let late = next_is(&mut consumer, &first).await;
        harness.pass(MAIN.lease + Duration::from_secs(1)).await;
        let again = next_is(&mut consumer, &first).await;
        assert_eq!((again.received.attempt, again.received.unanswered), (2, 1), "an expired lease is no answer");
        settle(late, late_answer).await;
        nothing_waits(&harness, &mut consumer).await;
        settle(again, retry(Some(Duration::ZERO))).await;
        let last = next_is(&mut consumer, &first).await;
        assert_eq!((last.received.attempt, last.received.unanswered), (3, 0));
        done(last).await;
        next_done(&mut consumer, &second).await;
    }
    no_letters(&harness, MAIN).await;
}

/// For as long as it is extended in time.
pub async fn an_extended_lease_is_kept<H: BusHarness>(mut harness: H) {
    let mut consumer = main_consumer(&harness).await;
    publish(&harness, "a", "a1").await;
    publish(&harness, "a", "a2").await;
    let mut delivery = next_is(&mut consumer, "a1").await;
    for _ in 0..4 {
        harness.pass(MAIN.lease * 2 / 3).await;
        delivery.lease.extend().await.unwrap();
        nothing_waits(&harness, &mut consumer).await;
    }
    harness.pass(MAIN.lease * 2 / 3).await;
    nothing_waits(&harness, &mut consumer).await;
    done(delivery).await;
    next_done(&mut consumer, "a2").await;
}

/// From `retry_min`, doubling, to `retry_max`.
pub async fn a_retry_waits_longer_each_time<H: BusHarness>(mut harness: H) {
    let mut consumer = main_consumer(&harness).await;
    publish(&harness, "a", "a1").await;
    let mut delivery = next_is(&mut consumer, "a1").await;
    for (attempt, wait) in (1..).zip([1, 2, 4, 8, 8, 8]) {
        assert_eq!((delivery.received.attempt, delivery.received.unanswered), (attempt, 0));
        settle(delivery, retry(None)).await;
        let wait = Duration::from_secs(wait);
        delivery = next_after(&mut harness, &mut consumer, "a1", Instant::now(), wait).await;
    }
    done(delivery).await;
}

/// One that ends does not make the bus forget the next.
pub async fn each_wait_ends_in_its_own_time<H: BusHarness>(mut harness: H) {
    const STEP: Duration = Duration::from_secs(2);
    let mut consumer = main_consumer(&harness).await;
    let mut begun = Vec::new();
    for n in 1..=3 {
        let id = format!("m{n}");
        publish(&harness, &id, &id).await;
        settle(next_is(&mut consumer, &id).await, retry(Some(STEP * n))).await;
        begun.push(Instant::now());
    }
    for (n, since) in (1..).zip(begun) {
        let id = format!("m{n}");
        if harness.moves_time() {
            nothing_waits(&harness, &mut consumer).await;
            harness.pass(STEP).await;
            next_done(&mut consumer, &id).await;
        } else {
            done(next_after(&mut harness, &mut consumer, &id, since, STEP * n).await).await;
        }
    }
}

/// Also when that is not at all, or longer than the backoff, and over a restart.
pub async fn a_retry_waits_as_long_as_asked<H: BusHarness>(mut harness: H) {
    const LONG: Duration = Duration::from_secs(30);
    let mut consumer = main_consumer(&harness).await;
    publish(&harness, "a", "a1").await;
    settle(next_is(&mut consumer, "a1").await, retry(Some(Duration::ZERO))).await;
    settle(next_is(&mut consumer, "a1").await, retry(Some(LONG))).await;
    let since = Instant::now();
    if harness.remembers_attempts() {
        harness.pass(LONG * 2 / 3).await;
        nothing_waits(&harness, &mut consumer).await;
        harness.restart().await;
        consumer = super::consumer(&harness, MAIN).await;
        nothing_waits(&harness, &mut consumer).await;
        harness.pass(LONG / 3 + Duration::from_secs(1)).await;
    }
    let delivery = match harness.remembers_attempts() {
        true => next_is(&mut consumer, "a1").await,
        false => next_after(&mut harness, &mut consumer, "a1", since, LONG).await,
    };
    assert_eq!((delivery.received.attempt, delivery.received.unanswered), (3, 0));
    done(delivery).await;
}

/// So that a message which kills its worker each time is noticed; at the new start it comes at once.
pub async fn deliveries_without_an_answer_are_counted_over_restarts<H: BusHarness>(mut harness: H) {
    if !harness.remembers_attempts() {
        return;
    }
    let mut first = main_consumer(&harness).await;
    publish(&harness, "a", "a1").await;
    let mut held = vec![next_is(&mut first, "a1").await];
    for crashes in 1..=3 {
        harness.restart().await;
        harness.bus().ensure(&[MAIN]).await.unwrap();
        let delivery = next_is(&mut consumer(&harness, MAIN).await, "a1").await;
        assert_eq!((delivery.received.attempt, delivery.received.unanswered), (crashes + 1, crashes));
        held.push(delivery);
    }
    let answered = held.pop().expect("the last");
    settle(answered, retry(Some(Duration::ZERO))).await;
    let delivery = next_is(&mut consumer(&harness, MAIN).await, "a1").await;
    assert_eq!((delivery.received.attempt, delivery.received.unanswered), (5, 0));
    done(delivery).await;
}

/// It is nobody's fault.
pub async fn a_message_handed_back_comes_at_once_and_uncounted<H: BusHarness>(harness: H) {
    let mut consumer = main_consumer(&harness).await;
    publish(&harness, "a", "a1").await;
    publish(&harness, "a", "a2").await;
    for _ in 0..3 {
        let delivery = next_is(&mut consumer, "a1").await;
        assert_eq!((delivery.received.attempt, delivery.received.unanswered), (1, 0));
        settle(delivery, Outcome::HandBack).await;
    }
    drop(next_is(&mut consumer, "a1").await);
    settle(next_is(&mut consumer, "a1").await, Outcome::HandBack).await;
    let delivery = next_is(&mut consumer, "a1").await;
    let attempt = if harness.remembers_attempts() { 2 } else { 1 };
    assert_eq!((delivery.received.attempt, delivery.received.unanswered), (attempt, 0));
    done(delivery).await;
    next_done(&mut consumer, "a2").await;
}
