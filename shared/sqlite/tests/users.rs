//! What is stored of users in a data folder: the conformance suite, and that the files themselves hold nothing of an erased
//! user's or a deleted session's.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

use std::{path::Path, sync::Arc, time::Duration};

use parlance_conformance::users::{self as suite, Life, Ports, erase};
use parlance_shared::{
    Clock, Lifecycle,
    event::to_cloud_event,
    port::{
        bus::{Bus as _, BusAdmin as _, Outcome, Reason},
        store::Store,
    },
    topology,
};
use parlance_sqlite::{Database, DatabaseOptions, SqliteBus, SqliteStore, SqliteTurns};
use tempfile::TempDir;

struct World {
    folder: TempDir,
    database: Database,
    bus: SqliteBus,
    lifecycle: Lifecycle,
    ports: Ports,
}

impl World {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let clock = Clock::system();
        let options = DatabaseOptions { clock: clock.clone(), ..DatabaseOptions::new(folder.path()) };
        let database = Database::open(options).await.unwrap();
        let lifecycle = Lifecycle::new();
        let bus = SqliteBus::new(database.clone());
        bus.ensure(&topology::ALL).await.unwrap();
        let turns = SqliteTurns::start(database.clone(), &lifecycle);
        let users = Arc::new(turns.users());
        let store: Arc<dyn Store> = Arc::new(SqliteStore::new(database.clone()));
        let ports = Ports { store, turns: Arc::new(turns), users: users.clone(), retention: users, clock };
        Self { folder, database, bus, lifecycle, ports }
    }

    /// All events of a life go over the bus: the record takes them, and llm-worker gives up the messages.
    async fn publish(&self, life: &Life) {
        let event = to_cloud_event(&life.changed, "test", None).unwrap();
        self.bus.publish(topology::REQUESTS, &life.session.to_string(), event).await.unwrap();
        for message in &life.messages {
            let event = to_cloud_event(message, "test", None).unwrap();
            self.bus.publish(topology::REQUESTS, &life.session.to_string(), event).await.unwrap();
        }
        for reply in &life.replies {
            let event = to_cloud_event(reply, "test", None).unwrap();
            self.bus.publish(topology::REPLIES, &life.session.to_string(), event).await.unwrap();
        }
        let event = to_cloud_event(&life.summary, "test", None).unwrap();
        self.bus.publish(topology::REPLIES, &life.session.to_string(), event).await.unwrap();
        let mut deliveries = self.bus.subscribe(topology::LLM_WORKER, 1).await.unwrap();
        for _ in 0..2 {
            let delivery = deliveries.next().await.unwrap();
            delivery.lease.settle(Outcome::Fail(Reason::new("test", "given up"))).await.unwrap();
        }
    }

    /// The bytes of all files of the folder.
    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| (path.display().to_string(), std::fs::read(path).unwrap())).collect()
    }

    fn holds(&self, text: &str) -> Vec<String> {
        let has = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        self.files().into_iter().filter(|(_, bytes)| has(bytes)).map(|(path, _)| path).collect()
    }

    async fn stop(self) {
        assert!(self.lifecycle.stop(Duration::from_secs(5), Duration::from_secs(5)).await);
        self.database.close().await;
    }
}

macro_rules! conforms {
    ($($name:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let world = World::new().await;
                suite::$name(world.ports.clone()).await;
                world.stop().await;
            }
        )*
    };
}

conforms!(
    an_export_has_everything_once,
    long_exports_come_in_pages,
    an_erased_user_leaves_nothing_and_nothing_comes_back,
    what_was_never_recorded_is_not_recorded_after_an_erasure,
    who_comes_back_begins_anew,
    a_running_turn_is_stopped_before_it_is_erased,
    an_erasure_goes_on_where_it_was_interrupted,
    old_sessions_are_deleted_and_stay_so,
    a_session_in_use_is_kept,
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_file_holds_anything_of_an_erased_user() {
    let world = World::new().await;
    let user = Life::of_anybody();
    let mut lives = Vec::new();
    // Enough that pages are split and merged, and texts that spill over to pages of their own.
    for n in 0..30 {
        let life = Life::lived_by(&world.ports, &user, chrono::TimeDelta::hours(-1)).await;
        let mut long = life.message(life.messages[1].accepted_at, None);
        long.content = format!("{} {}", life.marker, "long ".repeat(1_000 * (n % 5)));
        world.ports.store.record_message_submitted(&long).await.unwrap();
        world.publish(&life).await;
        lives.push(life);
    }
    let other = Life::lived(&world.ports).await;
    world.publish(&other).await;
    assert!(!world.holds(user.as_str()).is_empty() && !world.holds(&lives[3].marker).is_empty());

    erase(&world.ports, &user).await;
    let forgotten = world.bus.forget_user(&user, world.ports.clock.now()).await.unwrap();
    assert!(forgotten.is_some_and(|messages| messages >= 30 * 6), "{forgotten:?}");
    assert!(world.ports.users.purge().await.unwrap());
    assert_eq!(world.holds(user.as_str()), [""; 0]);
    for life in &lives {
        assert_eq!(world.holds(&life.marker), [""; 0]);
        assert!(!world.holds(&life.session.to_string()).is_empty(), "its tombstone");
    }
    assert!(!world.holds(&other.marker).is_empty());
    let mut letters = world.bus.dead_letters(topology::LLM_WORKER).await.unwrap();
    assert!(letters.next_page().await.unwrap().iter().all(|letter| letter.ordering_key == other.session.to_string()));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_file_holds_what_was_said_in_a_deleted_session() {
    let world = World::new().await;
    let (life, other) = (Life::lived(&world.ports).await, Life::lived(&world.ports).await);
    world.publish(&life).await;
    world.publish(&other).await;
    let deleted = life.deleted(&world.ports);
    world.ports.store.record_session_deleted(&deleted).await.unwrap();
    world.ports.turns.delete_session(&life.user, life.session).await.unwrap();
    life.be_recorded(&world.ports).await;
    assert!(world.ports.users.purge().await.unwrap());
    let left = world.left(&life.marker).await;
    assert_eq!(left, [""; 0], "{left:#?}");
    assert!(!world.holds(&other.marker).is_empty());
    let mut letters = world.bus.dead_letters(topology::LLM_WORKER).await.unwrap();
    assert!(letters.next_page().await.unwrap().iter().all(|letter| letter.ordering_key == other.session.to_string()));
    // What still waits is delivered, without what was said, and can be read.
    let mut deliveries = world.bus.subscribe(topology::PERSIST_REQUESTS, 10).await.unwrap();
    let delivery = tokio::time::timeout(Duration::from_secs(10), deliveries.next()).await.unwrap().unwrap();
    parlance_shared::event::from_cloud_event::<parlance_shared::event::SessionChanged>(&delivery.received.event)
        .unwrap();
    drop(delivery);
    drop(deliveries);
    world.stop().await;
}

impl World {
    /// In which files the text is, and around what.
    async fn left(&self, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        for path in self.holds(text) {
            let bytes = std::fs::read(Path::new(&path)).unwrap();
            for at in 0..bytes.len().saturating_sub(text.len()) {
                if &bytes[at..at + text.len()] == text.as_bytes() {
                    let around = &bytes[at.saturating_sub(80)..(at + text.len() + 20).min(bytes.len())];
                    found.push(format!("{path} {at}: {}", String::from_utf8_lossy(around)));
                }
            }
        }
        found
    }
}
