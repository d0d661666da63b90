//! The embedded bus: the suite that every bus passes, and what is its own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::{future::Future, path::Path, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use cloudevents::{AttributesReader as _, Event, EventBuilder as _, EventBuilderV10};
use futures_util::FutureExt as _;
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use parlance_conformance::bus::BusHarness;
use parlance_shared::{
    Clock, Lifecycle,
    port::{
        PortError,
        bus::{Bus, BusAdmin, Deliveries, Delivery, Outcome, Published, Reason, Subscription, Topic},
    },
};
use parlance_sqlite::{BusOptions, Database, DatabaseOptions, SqliteBus};

/// A data folder with a bus, under a clock that stands still.
struct Harness {
    folder: TempDir,
    clock: Clock,
    bus: SqliteBus,
    /// Of processes that were killed: kept, so that nothing of them is closed or dropped in order.
    killed: Vec<(TempDir, SqliteBus)>,
}

async fn harness() -> Harness {
    let folder = TempDir::new().unwrap();
    let clock = Clock::manual(DateTime::from_timestamp(1_790_000_000, 0).unwrap());
    let bus = open(folder.path(), &clock).await;
    Harness { folder, clock, bus, killed: Vec::new() }
}

async fn open(folder: &Path, clock: &Clock) -> SqliteBus {
    let options = DatabaseOptions { clock: clock.clone(), ..DatabaseOptions::new(folder) };
    SqliteBus::new(Database::open(options).await.unwrap())
}

impl Harness {
    async fn connect(&self) -> SqliteConnection {
        let file = self.folder.path().join("parlance.db");
        SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(file)).await.unwrap()
    }

    async fn count(&self, what: &'static str) -> i64 {
        sqlx::query_scalar(what).fetch_one(&mut self.connect().await).await.unwrap()
    }
}

impl BusHarness for Harness {
    fn bus(&self) -> Arc<dyn Bus> {
        Arc::new(self.bus.clone())
    }

    fn admin(&self) -> Arc<dyn BusAdmin> {
        Arc::new(self.bus.clone())
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    async fn pass(&mut self, time: Duration) {
        self.clock.advance(time);
        self.bus.wake_all();
    }

    /// What a killed process leaves are its files as they are.
    async fn restart(&mut self) {
        // The writer works in order: after this, nothing is under way.
        self.bus.ensure(&[]).await.unwrap();
        let folder = TempDir::new().unwrap();
        for file in ["parlance.db", "parlance.db-wal"] {
            std::fs::copy(self.folder.path().join(file), folder.path().join(file)).unwrap();
        }
        let bus = open(folder.path(), &self.clock).await;
        self.killed.push((std::mem::replace(&mut self.folder, folder), std::mem::replace(&mut self.bus, bus)));
    }

    /// The earliest of each key is its head, and nothing else is.
    async fn check(&mut self) {
        const WRONG_HEADS: &str = "SELECT count(*) FROM (
            SELECT head, lease, row_number() OVER (PARTITION BY subscription, ordering_key ORDER BY head DESC, seq) AS place,
                   min(seq) OVER (PARTITION BY subscription, ordering_key) = seq AS is_first
            FROM bus_deliveries)
            WHERE head <> (place = 1) OR (head = 1 AND NOT is_first AND lease IS NULL) OR (head = 0 AND lease IS NOT NULL)";
        assert_eq!(self.count(WRONG_HEADS).await, 0);
    }
}

parlance_conformance::bus_conformance!(harness());

const TOPIC: Topic = Topic("t");
const MAIN: Subscription = Subscription {
    name: "main",
    topic: TOPIC,
    lease: Duration::from_secs(10),
    retry_min: Duration::from_secs(1),
    retry_max: Duration::from_secs(8),
    max_unanswered: 5,
};

fn event(id: &str) -> Event {
    EventBuilderV10::new().id(id).ty("test").source("//test").build().unwrap()
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("in time")
}

async fn next_is(consumer: &mut Box<dyn Deliveries>, id: &str) -> Delivery {
    let delivery = within(consumer.next()).await.unwrap();
    assert_eq!(delivery.received.event.id(), id);
    delivery
}

async fn publish(harness: &Harness, key: &str, id: &str) -> Published {
    harness.bus.publish(TOPIC, key, event(id)).await.unwrap()
}

#[tokio::test]
async fn a_real_clock_needs_no_wake_up() {
    let folder = TempDir::new().unwrap();
    let bus = open(folder.path(), &Clock::system()).await;
    let quick = Subscription { lease: Duration::from_millis(80), ..MAIN };
    bus.ensure(&[quick]).await.unwrap();
    let mut consumer = bus.subscribe(quick, 1).await.unwrap();
    let mut second = bus.subscribe(quick, 1).await.unwrap();
    bus.publish(TOPIC, "a", event("a1")).await.unwrap();
    let retry = Outcome::Retry { after: Some(Duration::from_millis(60)), reason: Reason::new("later", "Later.") };
    next_is(&mut consumer, "a1").await.lease.settle(retry).await.unwrap();
    let held = next_is(&mut consumer, "a1").await;
    let again = next_is(&mut second, "a1").await;
    assert_eq!((again.received.attempt, again.received.unanswered), (3, 1));
    drop(held);
    again.lease.settle(Outcome::Done).await.unwrap();
}

#[tokio::test]
async fn extending_a_lost_lease_is_an_error() {
    let mut harness = harness().await;
    harness.bus.ensure(&[MAIN]).await.unwrap();
    let mut consumer = harness.bus.subscribe(MAIN, 2).await.unwrap();
    publish(&harness, "a", "a1").await;
    let mut late = next_is(&mut consumer, "a1").await;
    harness.pass(MAIN.lease).await;
    let again = next_is(&mut consumer, "a1").await;
    let error = late.lease.extend().await.unwrap_err();
    assert!(!error.is_transient(), "{error}");
    again.lease.settle(Outcome::Done).await.unwrap();
}

#[tokio::test]
async fn a_seek_takes_back_leases_and_what_was_fetched() {
    let harness = harness().await;
    harness.bus.ensure(&[MAIN]).await.unwrap();
    let mut consumer = harness.bus.subscribe(MAIN, 8).await.unwrap();
    for n in 0..3 {
        publish(&harness, &format!("key-{n}"), &format!("m{n}")).await;
    }
    let out = next_is(&mut consumer, "m0").await;
    let long_ago = harness.clock.now() - TimeDelta::hours(1);
    assert_eq!(harness.bus.seek(MAIN, long_ago).await.unwrap(), Some(3));
    let again = next_is(&mut consumer, "m0").await;
    assert_eq!((again.received.attempt, again.received.unanswered), (1, 0));
    out.lease.settle(Outcome::Done).await.unwrap();
    assert_eq!(harness.bus.stats().await.unwrap()[0].outstanding, 3, "the late answer counts for nothing");
    // m1 and m2 are fetched, but not handed out: they count as done by this.
    assert_eq!(harness.bus.seek(MAIN, harness.clock.now() + TimeDelta::hours(1)).await.unwrap(), Some(0));
    publish(&harness, "key-3", "m3").await;
    next_is(&mut consumer, "m3").await.lease.settle(Outcome::Done).await.unwrap();
    drop(again);
    assert_eq!(harness.bus.stats().await.unwrap()[0].outstanding, 0);
}

#[tokio::test]
async fn what_was_fetched_but_not_handed_out_counts_as_no_delivery() {
    let harness = harness().await;
    harness.bus.ensure(&[MAIN]).await.unwrap();
    for n in 0..3 {
        publish(&harness, &format!("key-{n}"), &format!("m{n}")).await;
    }
    let mut leaves = harness.bus.subscribe(MAIN, 8).await.unwrap();
    drop(next_is(&mut leaves, "m0").await);
    drop(leaves);
    let mut leaves = harness.bus.subscribe(MAIN, 8).await.unwrap();
    drop(leaves.next().now_or_never());
    drop(leaves);
    let mut stays = harness.bus.subscribe(MAIN, 8).await.unwrap();
    for (id, unanswered) in [("m0", 1), ("m1", 0), ("m2", 0)] {
        let delivery = next_is(&mut stays, id).await;
        assert_eq!((delivery.received.attempt, delivery.received.unanswered), (unanswered + 1, unanswered));
        delivery.lease.settle(Outcome::Done).await.unwrap();
    }
}

#[tokio::test]
async fn what_was_fetched_too_long_ago_is_not_handed_out() {
    let mut harness = harness().await;
    harness.bus.ensure(&[MAIN]).await.unwrap();
    let mut slow = harness.bus.subscribe(MAIN, 8).await.unwrap();
    for n in 0..3 {
        publish(&harness, &format!("key-{n}"), &format!("m{n}")).await;
    }
    let first = next_is(&mut slow, "m0").await;
    harness.pass(MAIN.lease).await;
    let mut quick = harness.bus.subscribe(MAIN, 3).await.unwrap();
    let mut again = Vec::new();
    for id in ["m0", "m1", "m2"] {
        again.push(next_is(&mut quick, id).await);
    }
    publish(&harness, "key-3", "m3").await;
    next_is(&mut slow, "m3").await.lease.settle(Outcome::Done).await.unwrap();
    drop(first);
    for delivery in again {
        delivery.lease.settle(Outcome::Done).await.unwrap();
    }
    assert_eq!(harness.bus.stats().await.unwrap()[0].outstanding, 0);
}

#[tokio::test]
async fn an_event_that_cannot_be_read_is_dead_lettered_and_stops_nobody() {
    let harness = harness().await;
    harness.bus.ensure(&[MAIN]).await.unwrap();
    publish(&harness, "a", "a1").await;
    publish(&harness, "a", "a2").await;
    sqlx::query("UPDATE bus_messages SET event = 'no event' WHERE event_id = 'a1'")
        .execute(&mut harness.connect().await)
        .await
        .unwrap();
    let mut consumer = harness.bus.subscribe(MAIN, 2).await.unwrap();
    next_is(&mut consumer, "a2").await.lease.settle(Outcome::Done).await.unwrap();
    let mut look = harness.bus.dead_letters(MAIN).await.unwrap();
    let letters = look.next_page().await.unwrap();
    assert_eq!((letters[0].reason.code.as_str(), letters[0].event.id()), ("unreadable_event", "a1"));
    assert!(look.discard(&letters[0].id).await.unwrap());
}

#[tokio::test]
async fn a_subscription_keeps_its_topic() {
    let harness = harness().await;
    harness.bus.ensure(&[MAIN]).await.unwrap();
    let moved = Subscription { topic: Topic("elsewhere"), ..MAIN };
    assert!(matches!(harness.bus.ensure(&[moved]).await, Err(PortError::Rejected { .. })));
    assert!(matches!(harness.bus.subscribe(moved, 1).await.map(drop), Err(PortError::Rejected { .. })));
}

#[tokio::test]
async fn the_janitor_keeps_what_is_needed() {
    let mut harness = harness().await;
    harness.bus.ensure(&[MAIN]).await.unwrap();
    let mut consumer = harness.bus.subscribe(MAIN, 8).await.unwrap();
    for id in ["dead", "waiting"] {
        publish(&harness, id, id).await;
    }
    let fail = Outcome::Fail(Reason::new("broken", "Broken."));
    next_is(&mut consumer, "dead").await.lease.settle(fail).await.unwrap();
    let waiting = next_is(&mut consumer, "waiting").await;
    for n in 0..1200 {
        let id = format!("m{n}");
        publish(&harness, "a", &id).await;
        next_is(&mut consumer, &id).await.lease.settle(Outcome::Done).await.unwrap();
    }
    assert_eq!(harness.bus.sweep().await.unwrap(), 0);
    harness.pass(Duration::from_secs(6 * 24 * 3600)).await;
    assert!(matches!(publish(&harness, "a", "m7").await, Published::Duplicate(_)));
    publish(&harness, "b", "later").await;
    harness.pass(Duration::from_secs(24 * 3600 + 1)).await;
    assert_eq!(harness.bus.sweep().await.unwrap(), 1200);
    assert_eq!(harness.bus.sweep().await.unwrap(), 0);
    assert_eq!(harness.count("SELECT count(*) FROM bus_messages").await, 3);
    assert_eq!(publish(&harness, "a", "m7").await, Published::New, "its retention is over");
    assert!(matches!(publish(&harness, "a", "dead").await, Published::Duplicate(_)));
    let letters = harness.bus.dead_letters(MAIN).await.unwrap().next_page().await.unwrap();
    assert_eq!(letters[0].event.id(), "dead");
    drop(waiting);
    let mut left = Vec::new();
    for _ in 0..3 {
        let delivery = within(consumer.next()).await.unwrap();
        left.push(delivery.received.event.id().to_owned());
        delivery.lease.settle(Outcome::Done).await.unwrap();
    }
    left.sort();
    assert_eq!(left, ["later", "m7", "waiting"]);
}

#[tokio::test]
async fn the_janitor_runs_until_the_lifecycle_stops() {
    let folder = TempDir::new().unwrap();
    let clock = Clock::manual(DateTime::UNIX_EPOCH);
    let options = DatabaseOptions { clock: clock.clone(), ..DatabaseOptions::new(folder.path()) };
    let database = Database::open(options).await.unwrap();
    let short = BusOptions { retention: Duration::from_secs(60), sweep_every: Duration::from_millis(5) };
    let bus = SqliteBus::with_options(database, short);
    let lifecycle = Lifecycle::new();
    let running = lifecycle.spawn(bus.clone().run_janitor(lifecycle.clone()));
    bus.publish(TOPIC, "a", event("a1")).await.unwrap();
    assert!(matches!(bus.publish(TOPIC, "a", event("a1")).await.unwrap(), Published::Duplicate(_)));
    clock.advance(Duration::from_secs(61));
    within(async { while bus.publish(TOPIC, "a", event("a1")).await.unwrap() != Published::New {} }).await;
    lifecycle.begin_stop();
    within(running).await.unwrap();
}

#[tokio::test]
async fn stats_tell_how_far_behind_a_subscription_is() {
    let mut harness = harness().await;
    const IDLE: Subscription = Subscription { name: "idle", topic: Topic("elsewhere"), ..MAIN };
    harness.bus.ensure(&[MAIN, IDLE]).await.unwrap();
    let mut consumer = harness.bus.subscribe(MAIN, 8).await.unwrap();
    let first_at = harness.clock.now();
    publish(&harness, "a", "a1").await;
    harness.pass(Duration::from_secs(1)).await;
    publish(&harness, "a", "a2").await;
    let fail = Outcome::Fail(Reason::new("broken", "Broken."));
    let first = next_is(&mut consumer, "a1").await;
    let stats = harness.bus.stats().await.unwrap();
    assert_eq!((stats[0].subscription.as_str(), stats[0].outstanding, stats[0].oldest_published_at), ("idle", 0, None));
    assert_eq!((stats[1].outstanding, stats[1].oldest_published_at, stats[1].dead_letters), (2, Some(first_at), 0));
    first.lease.settle(fail).await.unwrap();
    let stats = harness.bus.stats().await.unwrap();
    assert_eq!((stats[1].outstanding, stats[1].dead_letters), (1, 1));
    assert_eq!(stats[1].oldest_published_at, Some(first_at + TimeDelta::seconds(1)));
}

#[tokio::test]
async fn a_full_disk_refuses_a_message_and_keeps_those_before() {
    let folder = TempDir::new().unwrap();
    let options = DatabaseOptions { max_pages: Some(200), ..DatabaseOptions::new(folder.path()) };
    let bus = SqliteBus::new(Database::open(options).await.unwrap());
    bus.ensure(&[MAIN]).await.unwrap();
    let mut kept = 0;
    let refused = loop {
        let mut large = event(&format!("m{kept}"));
        cloudevents::AttributesWriter::set_subject(&mut large, Some("x".repeat(50_000)));
        match bus.publish(TOPIC, "a", large).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, PortError::Full { .. }), "{refused}");
    assert!(kept > 3);
    assert_eq!(bus.stats().await.unwrap()[0].outstanding, kept);
}

const ON_LEASE: &str = "SELECT count(*) FROM bus_deliveries WHERE lease IS NOT NULL";

/// A consumer that has taken all there was and waits for more.
async fn waiting_consumer(harness: &Harness, slots: usize) -> Box<dyn Deliveries> {
    harness.bus.ensure(&[MAIN]).await.unwrap();
    let mut consumer = harness.bus.subscribe(MAIN, slots).await.unwrap();
    publish(harness, "first", "first").await;
    next_is(&mut consumer, "first").await.lease.settle(Outcome::Done).await.unwrap();
    takes_all(&mut consumer).await;
    consumer
}

/// Lets the consumer look once more, so that it knows that nothing is left.
async fn takes_all(consumer: &mut Box<dyn Deliveries>) {
    let nothing = tokio::time::timeout(Duration::from_millis(100), consumer.next()).await;
    assert!(nothing.is_err(), "nothing else was published");
}

#[tokio::test]
async fn a_publish_hands_over_as_many_messages_as_there_are_slots() {
    let harness = harness().await;
    let mut consumer = waiting_consumer(&harness, 1).await;
    publish(&harness, "a", "a1").await;
    publish(&harness, "b", "b1").await;
    assert_eq!(
        harness.count(ON_LEASE).await,
        1,
        "the first on lease with its publish, the second for want of a slot not"
    );
    let held = next_is(&mut consumer, "a1").await;
    assert_eq!((held.received.attempt, held.received.unanswered), (1, 0));
    held.lease.settle(Outcome::Done).await.unwrap();
    next_is(&mut consumer, "b1").await.lease.settle(Outcome::Done).await.unwrap();
    takes_all(&mut consumer).await;
    publish(&harness, "c", "c1").await;
    assert_eq!(harness.count(ON_LEASE).await, 1, "the slot is free again");
    next_is(&mut consumer, "c1").await;
}

#[tokio::test]
async fn what_was_handed_over_to_a_consumer_that_went_away_goes_to_the_next() {
    let harness = harness().await;
    let consumer = waiting_consumer(&harness, 4).await;
    publish(&harness, "a", "a1").await;
    assert_eq!(harness.count(ON_LEASE).await, 1);
    drop(consumer);
    let mut next = harness.bus.subscribe(MAIN, 4).await.unwrap();
    let delivery = next_is(&mut next, "a1").await;
    assert_eq!((delivery.received.attempt, delivery.received.unanswered), (1, 0), "nobody had seen it");
}

#[tokio::test]
async fn what_was_handed_over_to_a_process_that_died_comes_again() {
    let mut harness = harness().await;
    let consumer = waiting_consumer(&harness, 4).await;
    publish(&harness, "a", "a1").await;
    publish(&harness, "a", "a2").await;
    harness.restart().await;
    drop(consumer);
    let mut next = harness.bus.subscribe(MAIN, 4).await.unwrap();
    let delivery = next_is(&mut next, "a1").await;
    assert_eq!((delivery.received.attempt, delivery.received.unanswered), (2, 1));
    delivery.lease.settle(Outcome::Done).await.unwrap();
    next_is(&mut next, "a2").await;
}
