//! Messages of a key come one at a time and in order; keys do not wait for each other.

use std::time::Duration;

use super::{BusHarness, done, main_consumer, next_are, next_done, next_is, nothing_waits, publish, retry, settle};

/// The second follows the answer of the first; another key's does not wait.
pub async fn one_message_of_a_key_is_out<H: BusHarness>(harness: H) {
    let mut consumer = main_consumer(&harness).await;
    for (key, id) in [("a", "a1"), ("a", "a2"), ("b", "b1"), ("a", "a3")] {
        publish(&harness, key, id).await;
    }
    let [a1, b1] = next_are(&mut consumer, ["a1", "b1"]).await;
    nothing_waits(&harness, &mut consumer).await;
    done(b1).await;
    nothing_waits(&harness, &mut consumer).await;
    done(a1).await;
    next_done(&mut consumer, "a2").await;
    next_done(&mut consumer, "a3").await;
    nothing_waits(&harness, &mut consumer).await;
}

/// What comes after it waits with it.
pub async fn a_retried_message_keeps_its_place<H: BusHarness>(mut harness: H) {
    let mut consumer = main_consumer(&harness).await;
    publish(&harness, "a", "a1").await;
    publish(&harness, "a", "a2").await;
    settle(next_is(&mut consumer, "a1").await, retry(Some(Duration::from_secs(3)))).await;
    publish(&harness, "a", "a3").await;
    nothing_waits(&harness, &mut consumer).await;
    harness.pass(Duration::from_secs(4)).await;
    drop(next_is(&mut consumer, "a1").await);
    next_done(&mut consumer, "a1").await;
    next_done(&mut consumer, "a2").await;
    next_done(&mut consumer, "a3").await;
}

/// Its own key waits, the others flow.
pub async fn a_message_that_always_fails_does_not_block_other_keys<H: BusHarness>(mut harness: H) {
    let mut consumer = main_consumer(&harness).await;
    publish(&harness, "poison", "p1").await;
    publish(&harness, "poison", "p2").await;
    for n in 0..if harness.moves_time() { 20 } else { 5 } {
        let poison = next_is(&mut consumer, "p1").await;
        let id = format!("m{n}");
        publish(&harness, "a", &id).await;
        next_done(&mut consumer, &id).await;
        settle(poison, retry(None)).await;
        nothing_waits(&harness, &mut consumer).await;
        harness.pass(Duration::from_secs(9)).await;
    }
    next_done(&mut consumer, "p1").await;
    next_done(&mut consumer, "p2").await;
}
