//! Events into rows, through the bus.

mod support;

use std::{sync::Arc, time::Duration};

use chrono::DateTime;
use cloudevents::{EventBuilder as _, EventBuilderV10};
use parlance_conformance::faulty::{Fault, Faults, FaultyStore, rejected, unavailable};
use parlance_shared::{
    CallId, SessionId,
    event::{DomainEvent as _, MessageSubmitted, SessionChanged, SessionDeleted},
    message::Role,
    page::PageRequest,
    port::{
        bus::BusAdmin as _,
        store::{Lookup, Store as _},
    },
    replay::Replay,
    task::Status,
    topology,
};
use serde_json::json;

use crate::support::{World, eventually};

const ALL: PageRequest = PageRequest { limit: 100, from: None };

#[tokio::test]
async fn a_turn_is_written_whole() {
    let world = World::new().await;
    let worker = world.start();
    let session: SessionId = world.mint.mint(&world.user);
    let message = world.message(session, "question");
    world.publish(topology::REQUESTS, &message).await;
    world.stored(&message, Status::Queued).await;
    let reply = world.reply(&message, "answer");
    world.publish(topology::REPLIES, &reply).await;
    let task = world.stored(&message, Status::Completed).await;
    assert_eq!(task, reply.task);

    let said = world.store.messages(&world.user, session, &ALL).await.unwrap().data;
    let said: Vec<_> = said.iter().map(|message| (message.id, message.role, message.content.as_str())).collect();
    assert_eq!(
        said,
        [(message.message_id, Role::User, "question"), (message.reply_message_id, Role::Assistant, "answer"),]
    );
    worker.stop().await;
    let rendered = world.metrics.render();
    assert!(rendered.contains("parlance_persist_lag_seconds_count 2"), "{rendered}");
}

#[tokio::test]
async fn any_order_and_any_number_of_times_gives_the_same_rows() {
    let world = World::new().await;
    let worker = world.start();
    let session: SessionId = world.mint.mint(&world.user);
    let message = world.message(session, "question");
    let reply = world.reply(&message, "answer");
    // The reply is there before the message that it answers.
    world.publish(topology::REPLIES, &reply).await;
    world.stored(&message, Status::Completed).await;
    world.publish(topology::REQUESTS, &message).await;
    eventually("both messages", async || {
        (world.store.messages(&world.user, session, &ALL).await.unwrap().data.len() == 2).then_some(())
    })
    .await;
    let before = world.store.messages(&world.user, session, &ALL).await.unwrap();

    for (round, subscription) in
        [topology::PERSIST_REQUESTS, topology::PERSIST_REPLIES, topology::PERSIST_REQUESTS].into_iter().enumerate()
    {
        world.bus.seek(subscription, DateTime::UNIX_EPOCH).await.unwrap();
        // Of the same ordering key, so it comes after all that is replayed.
        let last = world.message(session, &format!("round {round}"));
        let last_reply = world.reply(&last, "ok");
        world.publish(topology::REQUESTS, &last).await;
        world.publish(topology::REPLIES, &last_reply).await;
        world.stored(&last, Status::Completed).await;
        eventually("the round's messages", async || {
            let said = world.store.messages(&world.user, session, &ALL).await.unwrap().data.len();
            (said == 2 + 2 * (round + 1)).then_some(())
        })
        .await;
    }
    worker.stop().await;
    let after = world.store.messages(&world.user, session, &ALL).await.unwrap();
    assert_eq!(after.data[..2], before.data[..]);
    assert_eq!(world.stored(&message, Status::Completed).await, reply.task);
}

#[tokio::test]
async fn a_session_is_changed_and_deleted() {
    let world = World::new().await;
    let _worker = world.start();
    let session: SessionId = world.mint.mint(&world.user);
    let change = SessionChanged {
        session_id: session,
        user_id: world.user.clone(),
        change_id: world.mint.mint::<CallId>(&world.user),
        changed_at: world.clock.now(),
        heading: Some(Some("Rivers".to_owned())),
        instructions: None,
        metadata: None,
        strategy: Default::default(),
    };
    world.publish(topology::REQUESTS, &change).await;
    eventually("the heading", async || match world.store.session(&world.user, session).await.unwrap() {
        Lookup::Found(found) if found.heading.as_deref() == Some("Rivers") => Some(()),
        _ => None,
    })
    .await;
    let deleted = SessionDeleted { session_id: session, user_id: world.user.clone(), deleted_at: world.clock.now() };
    world.publish(topology::REQUESTS, &deleted).await;
    eventually("the deletion", async || {
        (world.store.session(&world.user, session).await.unwrap() == Lookup::Deleted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_database_that_comes_back_costs_nothing() {
    let world = World::new().await;
    let faults = Faults::first(4, unavailable);
    let worker = world.start_with(Arc::new(FaultyStore::writes_only(world.store.clone(), faults.clone())));
    let message = world.message(world.mint.mint(&world.user), "question");
    world.publish(topology::REQUESTS, &message).await;
    world.stored(&message, Status::Queued).await;
    assert_eq!(faults.calls(), 5);
    assert_eq!(world.metrics.bus_retries.get(topology::PERSIST_REQUESTS.name), 0, "the bus was bothered");
    worker.stop().await;
}

#[tokio::test]
async fn what_can_never_be_written_goes_to_the_dead_letters_at_once() {
    let world = World::new().await;
    let faults = Faults::first(1, rejected);
    let _worker = world.start_with(Arc::new(FaultyStore::writes_only(world.store.clone(), faults.clone())));
    let session: SessionId = world.mint.mint(&world.user);
    let message = world.message(session, "question");
    world.publish(topology::REQUESTS, &message).await;
    let dead = world.dead_letter(topology::PERSIST_REQUESTS).await;
    assert_eq!((dead.reason.code.as_str(), dead.attempts), ("store_refused", 1));
    assert_eq!(faults.calls(), 1);
    // It holds up nothing, and can be replayed once the cause is gone.
    let next = world.message(session, "next");
    world.publish(topology::REQUESTS, &next).await;
    world.stored(&next, Status::Queued).await;
    let mut look = world.bus.dead_letters(topology::PERSIST_REQUESTS).await.unwrap();
    assert!(look.redrive(&dead.id, &Replay::new("test", &world.clock, false)).await.unwrap());
    world.stored(&message, Status::Queued).await;
}

#[tokio::test]
async fn what_cannot_be_read_goes_to_the_dead_letters() {
    let world = World::new().await;
    let _worker = world.start();
    let event = |id: &str, ty: &str| {
        EventBuilderV10::new()
            .id(id)
            .ty(ty)
            .source("//parlance/test")
            .data("application/json", json!({"content": 7}))
            .build()
            .unwrap()
    };
    world.publish_event(topology::REQUESTS, "a", event("e1", MessageSubmitted::TYPE)).await;
    assert_eq!(world.dead_letter(topology::PERSIST_REQUESTS).await.reason.code, "unreadable_event");
    world.publish_event(topology::REPLIES, "a", event("e2", "parlance.other.v9")).await;
    assert_eq!(world.dead_letter(topology::PERSIST_REPLIES).await.reason.code, "unknown_event");
}

#[tokio::test]
async fn a_stop_while_the_database_is_away_hands_back() {
    let world = World::new().await;
    let faults = Faults::default();
    faults.set(Fault::Unavailable);
    let worker = world.start_with(Arc::new(FaultyStore::writes_only(world.store.clone(), faults.clone())));
    let message = world.message(world.mint.mint(&world.user), "question");
    world.publish(topology::REQUESTS, &message).await;
    eventually("a first try", async || (faults.calls() > 0).then_some(())).await;
    tokio::time::timeout(Duration::from_secs(5), worker.abort()).await.expect("the stop waits for the database");

    let _well = world.start();
    world.stored(&message, Status::Queued).await;
}
