//! Several consumers, and what each may hold.

use std::{collections::BTreeSet, time::Duration};

use cloudevents::AttributesReader as _;
use futures_util::FutureExt as _;

use super::{
    BusHarness, MAIN, OTHER, QUIET, consumer, done, main_consumer, next, next_done, next_is, nothing_waits, publish,
    stays_quiet,
};

/// It is an error, not an endless wait.
pub async fn an_unknown_subscription_is_refused<H: BusHarness>(harness: H) {
    harness.bus().ensure(&[MAIN]).await.unwrap();
    let refused = harness.bus().subscribe(OTHER, 1).await.err().expect("an error");
    assert!(!refused.is_transient(), "{refused}");
}

/// However the futures are dropped, every message comes, once, as its first delivery.
pub async fn next_is_cancel_safe<H: BusHarness>(harness: H) {
    let mut consumer = main_consumer(&harness).await;
    let mut seen = BTreeSet::new();
    for n in 0..60_u64 {
        publish(&harness, &format!("key-{}", n % 7), &format!("m{n:02}")).await;
        // Timers are no finer than a millisecond: some are dropped after their first step.
        let received = match n % 3 {
            0 => consumer.next().now_or_never(),
            wait => tokio::time::timeout(Duration::from_millis(wait - 1), consumer.next()).await.ok(),
        };
        if let Some(delivery) = received {
            let delivery = delivery.unwrap();
            assert_eq!(delivery.received.attempt, 1);
            assert!(seen.insert(delivery.received.event.id().to_owned()));
            done(delivery).await;
        }
    }
    while seen.len() < 60 {
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.received.attempt, 1);
        assert!(seen.insert(delivery.received.event.id().to_owned()));
        done(delivery).await;
    }
    nothing_waits(&harness, &mut consumer).await;
}

/// At once; but not what it handed out, which is its holder's still.
pub async fn a_consumer_that_leaves_gives_back_what_it_fetched<H: BusHarness>(harness: H) {
    let mut leaves = main_consumer(&harness).await;
    for n in 0..5 {
        publish(&harness, &format!("key-{n}"), &format!("m{n}")).await;
    }
    let held = next(&mut leaves).await;
    let held_id = held.received.event.id().to_owned();
    let mut stays = consumer(&harness, MAIN).await;
    drop(leaves);
    let mut seen = BTreeSet::from([held_id.clone()]);
    while seen.len() < 5 {
        let delivery = next(&mut stays).await;
        assert!(seen.insert(delivery.received.event.id().to_owned()), "{seen:?}");
        done(delivery).await;
    }
    nothing_waits(&harness, &mut stays).await;
    drop(held);
    next_done(&mut stays, &held_id).await;
}

/// Whatever it had begun.
pub async fn a_consumer_that_leaves_while_it_fetches_loses_nothing<H: BusHarness>(harness: H) {
    harness.bus().ensure(&[MAIN]).await.unwrap();
    let mut missing = BTreeSet::new();
    for n in 0..30 {
        let id = format!("m{n:02}");
        publish(&harness, &id, &id).await;
        missing.insert(id);
        let mut leaves = consumer(&harness, MAIN).await;
        drop(leaves.next().now_or_never());
    }
    let mut stays = consumer(&harness, MAIN).await;
    while !missing.is_empty() {
        let delivery = next(&mut stays).await;
        assert!(missing.remove(delivery.received.event.id()), "{missing:?}");
        done(delivery).await;
    }
    nothing_waits(&harness, &mut stays).await;
}

/// A slot is free again with the answer.
pub async fn no_more_than_max_outstanding_are_out<H: BusHarness>(harness: H) {
    harness.bus().ensure(&[MAIN]).await.unwrap();
    let mut consumer = harness.bus().subscribe(MAIN, 2).await.unwrap();
    for n in 0..4 {
        publish(&harness, &format!("key-{n}"), &format!("m{n}")).await;
    }
    let first = next(&mut consumer).await;
    let second = next(&mut consumer).await;
    stays_quiet(&mut consumer).await;
    done(first).await;
    let third = next(&mut consumer).await;
    stays_quiet(&mut consumer).await;
    drop(second);
    let fourth = next(&mut consumer).await;
    stays_quiet(&mut consumer).await;
    done(fourth).await;
    // This one waits for a slot, and only an answer can wake it.
    let fifth = next(&mut consumer).await;
    let (sixth, ()) = tokio::join!(next(&mut consumer), async {
        publish(&harness, "key-5", "m5").await;
        tokio::time::sleep(QUIET).await;
        done(third).await;
    });
    done(fifth).await;
    done(sixth).await;
    nothing_waits(&harness, &mut consumer).await;
}

/// Both work, each message goes to one of them.
pub async fn two_consumers_share_without_double_delivery<H: BusHarness>(harness: H) {
    const MESSAGES: usize = 60;
    harness.bus().ensure(&[MAIN]).await.unwrap();
    let mut one = harness.bus().subscribe(MAIN, 2).await.unwrap();
    let mut two = harness.bus().subscribe(MAIN, 2).await.unwrap();
    let (mut by_one, mut by_two) = (Vec::new(), Vec::new());
    let publishing = async {
        for n in 0..MESSAGES {
            publish(&harness, &format!("key-{}", n % 10), &format!("m{n:02}")).await;
        }
    };
    let consuming = async {
        while by_one.len() + by_two.len() < MESSAGES {
            let (delivery, by) = tokio::select! {
                delivery = next(&mut one) => (delivery, &mut by_one),
                delivery = next(&mut two) => (delivery, &mut by_two),
            };
            assert_eq!(delivery.received.attempt, 1);
            by.push(delivery.received.event.id().to_owned());
            done(delivery).await;
        }
    };
    tokio::join!(publishing, consuming);
    assert!(!by_one.is_empty() && !by_two.is_empty(), "{by_one:?} {by_two:?}");
    let all: BTreeSet<_> = by_one.iter().chain(&by_two).collect();
    assert_eq!(all.len(), MESSAGES);
}

/// Nor one that does not consume at all.
pub async fn a_slow_consumer_does_not_block_another_subscription<H: BusHarness>(harness: H) {
    harness.bus().ensure(&[MAIN, OTHER]).await.unwrap();
    let mut slow = harness.bus().subscribe(OTHER, 1).await.unwrap();
    let mut quick = consumer(&harness, MAIN).await;
    publish(&harness, "a", "m00").await;
    let held = next_is(&mut slow, "m00").await;
    next_done(&mut quick, "m00").await;
    for n in 1..40 {
        let id = format!("m{n:02}");
        publish(&harness, "a", &id).await;
        next_done(&mut quick, &id).await;
    }
    done(held).await;
    for n in 1..40 {
        next_done(&mut slow, &format!("m{n:02}")).await;
    }
}
