//! Circuits on Postgres keep what all must, between two processes, as the services' role; and do without a database that is
//! away.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod support;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parlance_conformance::{
    circuits::{self as suite, POLICY},
    wait::eventually,
};
use parlance_postgres::{Database, LogOptions, PostgresCircuits, PostgresTurns, Role};
use parlance_shared::{
    Clock, Lifecycle,
    circuits::LocalCircuits,
    port::circuits::{Admission, Circuits},
    settings::PostgresSettings,
};
use support::{TestDatabase, connect, server};
use tokio::sync::OnceCell;

async fn shared() -> Option<TestDatabase> {
    static SHARED: OnceCell<TestDatabase> = OnceCell::const_new();
    let server = server()?;
    Some(SHARED.get_or_init(async || TestDatabase::migrated(&server).await).await.clone())
}

/// A process of its own.
fn worker(settings: &PostgresSettings) -> Arc<dyn Circuits> {
    let lifecycle = Lifecycle::new();
    let database = Database::new(settings.clone(), Clock::system());
    let turns = PostgresTurns::start(database, &lifecycle, LogOptions::new(Role::Worker));
    Arc::new(PostgresCircuits::start(&turns, &lifecycle, LocalCircuits::new(POLICY)))
}

macro_rules! conforms {
    ($($name:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(database) = shared().await else { return };
                suite::$name((worker(&database.service), worker(&database.service))).await;
            }
        )*
    };
}

conforms!(a_circuit_opens_after_failures_in_a_row, others_learn_that_it_opened_and_closed, all_workers_make_one_probe,);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_comes_later_knows() {
    let Some(database) = shared().await else { return };
    let pair = (worker(&database.service), worker(&database.service));
    suite::a_worker_that_comes_later_knows(pair, async || worker(&database.service)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_a_circuit_that_closed() {
    let Some(database) = shared().await else { return };
    let circuits = worker(&database.service);
    let rows = async || {
        let mut connection = connect(&database.admin).await;
        let count = "SELECT count(*) FROM provider_circuits WHERE provider = 'left http://a'";
        sqlx::query_scalar::<_, i64>(count).fetch_one(&mut connection).await.unwrap()
    };
    (0..POLICY.failures).for_each(|_| circuits.failed("left http://a"));
    eventually("the row is there", async || (rows().await == 1).then_some(())).await;
    circuits.answered("left http://a");
    eventually("the row is gone", async || (rows().await == 0).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_without_a_database_goes_by_what_it_knows() {
    // A listener that never answers.
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("postgres://u:p@{}/d?sslmode=disable", silent.local_addr().unwrap());
    let circuits = worker(&support::settings(&url));
    assert_eq!(circuits.admit("p").await, Admission::Closed);
    (0..POLICY.failures).for_each(|_| circuits.failed("p"));
    assert!(matches!(circuits.admit("p").await, Admission::Open(_)));
    tokio::time::sleep(POLICY.open_for).await;
    let begun = Instant::now();
    assert_eq!(circuits.admit("p").await, Admission::Probe);
    assert!(matches!(circuits.admit("p").await, Admission::Open(_)), "one probe");
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    circuits.answered("p");
    assert_eq!(circuits.admit("p").await, Admission::Closed);
}
