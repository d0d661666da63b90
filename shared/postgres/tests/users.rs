//! What is stored of users in Postgres, as the services' role: the conformance suite, and that no column holds anything of an
//! erased user's.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod support;

use std::sync::Arc;

use chrono::TimeDelta;
use parlance_conformance::{
    users::{self as suite, Life, Ports, erase},
    wait::eventually,
};
use parlance_postgres::{PostgresUsers, Role};
use parlance_shared::{Clock, port::users::Retention as _};
use sqlx::AssertSqlSafe;
use support::{TestDatabase, connect, process::Process, server};

struct World {
    database: TestDatabase,
    process: Process,
    ports: Ports,
}

impl World {
    async fn new() -> Option<Self> {
        let database = TestDatabase::migrated(&server()?).await;
        let process = Process::start(&database, Role::Both);
        let users = Arc::new(PostgresUsers::new(database.open()));
        let ports = Ports {
            store: Arc::new(database.store()),
            turns: process.turns.clone(),
            users: users.clone(),
            retention: users,
            clock: Clock::system(),
        };
        Some(Self { database, process, ports })
    }

    /// Every row of every table, as text; what is binary, too.
    async fn rows_with(&self, text: &str) -> Vec<String> {
        let mut connection = connect(&self.database.admin).await;
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
        )
        .fetch_all(&mut connection)
        .await
        .unwrap();
        assert!(tables.len() > 40, "{tables:?}");
        let mut found = Vec::new();
        for table in tables {
            let sql = format!(
                "SELECT t::text FROM \"{table}\" AS t
                 WHERE t::text LIKE '%' || $1 || '%' OR t::text LIKE '%' || encode(convert_to($1, 'UTF8'), 'hex') || '%'"
            );
            let rows: Vec<String> =
                sqlx::query_scalar(AssertSqlSafe(sql)).bind(text).fetch_all(&mut connection).await.unwrap();
            found.extend(rows.into_iter().map(|row| format!("{table}: {row}")));
        }
        found
    }
}

macro_rules! conforms {
    ($($name:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(world) = World::new().await else { return };
                suite::$name(world.ports.clone()).await;
                world.process.kill().await;
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
async fn no_column_holds_anything_of_an_erased_user() {
    let Some(world) = World::new().await else { return };
    let (life, other) = (Life::lived(&world.ports).await, Life::lived(&world.ports).await);
    let talking = Life::of(&life.user, world.ports.clock.now());
    let claim = talking.claim(&world.ports, &talking.messages[0]).await;
    let log: Arc<dyn parlance_shared::port::reply_log::ReplyLog> = world.process.turns.clone();
    let mut writer = log.writer(&claim).await.unwrap();
    writer.append(&format!("said {}", talking.marker)).await.unwrap();
    eventually("the text is stored", async || {
        (world.rows_with(&talking.marker).await.iter().any(|row| row.starts_with("reply_log"))).then_some(())
    })
    .await;
    drop(writer);
    while world.ports.users.erase(&life.user).await.unwrap().sessions > 0 {}
    let cancelled = suite::end(&talking.replies[0]);
    world.ports.turns.finish(&claim, cancelled, None).await.unwrap();
    erase(&world.ports, &life.user).await;
    eventually("old segments go", async || {
        world.ports.users.purge().await.unwrap();
        world.rows_with(&talking.marker).await.is_empty().then_some(())
    })
    .await;
    for text in [life.user.as_str(), &life.marker, &talking.marker] {
        let left = world.rows_with(text).await;
        assert!(left.is_empty(), "{left:#?}");
    }
    assert!(!world.rows_with(&life.session.to_string()).await.is_empty(), "its tombstone");
    assert!(!world.rows_with(&other.marker).await.is_empty());
    world.process.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_column_holds_what_was_said_in_a_deleted_session() {
    let Some(world) = World::new().await else { return };
    let life = Life::lived(&world.ports).await;
    world.ports.store.record_session_deleted(&life.deleted(&world.ports)).await.unwrap();
    world.ports.turns.delete_session(&life.user, life.session).await.unwrap();
    life.be_recorded(&world.ports).await;
    let left = world.rows_with(&life.marker).await;
    assert!(left.is_empty(), "{left:#?}");
    world.process.kill().await;
}

/// Several processes look for old sessions; each is deleted by one of them, and nobody waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_sessions_are_deleted_by_one_process_at_a_time() {
    let Some(world) = World::new().await else { return };
    let user = Life::of_anybody();
    for _ in 0..30 {
        Life::lived_by(&world.ports, &user, TimeDelta::days(-400)).await;
    }
    let mut holder = connect(&world.database.service).await;
    sqlx::query("SELECT pg_advisory_lock(hashtextextended('parlance_delete_aged', 0))")
        .execute(&mut holder)
        .await
        .unwrap();
    let users = PostgresUsers::new(world.database.open());
    let before = world.ports.clock.now() - TimeDelta::days(365);
    assert_eq!(users.delete_aged(before).await.unwrap(), None);
    drop(holder);
    let both = async || {
        let mut total = 0;
        loop {
            match PostgresUsers::new(world.database.open()).delete_aged(before).await.unwrap() {
                Some(0) => return total,
                Some(deleted) => total += deleted,
                None => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
            }
        }
    };
    let (one, other) = tokio::join!(both(), both());
    assert_eq!(one + other, 30);
    world.process.kill().await;
}
