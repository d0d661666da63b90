//! An operator publishes an event again that may have been done long ago.

use cloudevents::AttributesReader as _;

use parlance_shared::replay::Replay;

use super::{
    BusHarness, MAIN, OTHER, TOPIC, consumer, done, event, fail, next_done, next_is, no_letters, nothing_waits,
    publish, replay, settle,
};

/// Also when the bus knows its id; the mark says who did it. It is a message of its own, behind what waits.
pub async fn a_replayed_event_goes_to_every_subscription<H: BusHarness>(mut harness: H) {
    harness.bus().ensure(&[MAIN, OTHER]).await.unwrap();
    let (mut main, mut other) = (consumer(&harness, MAIN).await, consumer(&harness, OTHER).await);
    publish(&harness, "a", "a1").await;
    next_done(&mut main, "a1").await;
    next_done(&mut other, "a1").await;
    // A new mark each time: the second replay is not a duplicate of the first.
    for round in 0..2 {
        let (before, after) = (format!("before-{round}"), format!("after-{round}"));
        publish(&harness, "b", &before).await;
        let out = next_is(&mut main, &before).await;
        next_done(&mut other, &before).await;
        let replay = replay();
        let mut marked = event("a1");
        replay.mark(&mut marked);
        harness.admin().replay(TOPIC, "b", marked.clone()).await.unwrap();
        harness.check().await;
        let seen = next_is(&mut other, "a1").await;
        assert_eq!((seen.received.attempt, seen.received.unanswered), (1, 0));
        assert_eq!(seen.received.event.data(), marked.data());
        assert_eq!(Replay::of(&seen.received.event), Some(replay.clone()));
        done(seen).await;
        nothing_waits(&harness, &mut main).await;
        let sentinel = super::next(&mut other).await;
        assert!(sentinel.received.event.id().starts_with("sentinel-"));
        done(sentinel).await;
        done(out).await;
        next_done(&mut main, "a1").await;
        harness.admin().replay(TOPIC, "b", event(&after)).await.unwrap();
        next_done(&mut main, &after).await;
        next_done(&mut other, &after).await;
    }
}

/// It is kept as any other, and so is its mark.
pub async fn a_replayed_event_survives_a_restart<H: BusHarness>(mut harness: H) {
    harness.bus().ensure(&[MAIN]).await.unwrap();
    let replay = replay();
    let mut marked = event("a1");
    replay.mark(&mut marked);
    harness.admin().replay(TOPIC, "a", marked.clone()).await.unwrap();
    harness.restart().await;
    harness.bus().ensure(&[MAIN]).await.unwrap();
    let mut consumer = consumer(&harness, MAIN).await;
    let delivery = next_is(&mut consumer, "a1").await;
    assert_eq!(Replay::of(&delivery.received.event), Some(replay.clone()));
    settle(delivery, fail()).await;
    let (mut pass, letters) = super::look(&harness, MAIN).await;
    assert_eq!(Replay::of(&letters[0].event), Some(replay));
    assert!(pass.discard(&letters[0].id).await.unwrap());
    drop(pass);
    no_letters(&harness, MAIN).await;
    nothing_waits(&harness, &mut consumer).await;
}
