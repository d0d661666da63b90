//! What becomes of the service when the database goes away, comes back, is slow, refuses: every call ends in time, and
//! nothing has to be restarted.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]
#![allow(clippy::disallowed_methods, reason = "tests spawn what they join")]

mod support;

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use parlance_postgres::{Database, PostgresStore};
use parlance_shared::{
    Clock, UserId,
    port::{
        PortError,
        store::{Lookup, Store as _},
    },
    settings::PostgresSettings,
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use support::{TestDatabase, connect, events::request, proxy::Proxy, server};
use tokio::task::JoinSet;

fn store(settings: PostgresSettings) -> PostgresStore {
    PostgresStore::new(Database::new(settings, Clock::system()))
}

fn alice() -> UserId {
    UserId::new("alice")
}

/// The sentence of a failure that a later call may not have.
#[track_caller]
fn unavailable<T: std::fmt::Debug>(outcome: Result<T, PortError>) -> String {
    match outcome {
        Err(error @ PortError::Unavailable { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

/// Keeps a table from being written until it is dropped.
async fn lock(database: &TestDatabase, table: &str) -> PgConnection {
    let mut connection = connect(&database.admin).await;
    let sql = format!("BEGIN; LOCK TABLE {table} IN EXCLUSIVE MODE");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    connection
}

#[tokio::test]
async fn a_database_may_come_up_later() {
    let Some(server) = server() else { return };
    let database = TestDatabase::migrated(&server).await;
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = PostgresSettings { host: "127.0.0.1".to_owned(), port: address.port(), ..database.service.clone() };
    let store = store(settings);
    let sentence = unavailable(store.ready().await);
    assert!(sentence.contains(&format!("127.0.0.1:{} can't be reached", address.port())), "{sentence}");
    let _proxy = Proxy::at(address, &server).await;
    store.ready().await.unwrap();
}

/// An operator, or the server's own shutdown, ends idle connections: the next call does not even notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_on_after_all_connections_were_ended() {
    let Some(server) = server() else { return };
    let database = TestDatabase::migrated(&server).await;
    let store = database.store();
    for round in 0..5 {
        let mut calls = JoinSet::new();
        for call in 0..20 {
            let store = store.clone();
            calls.spawn(async move { store.record_message_submitted(&request(&alice(), round * 100 + call)).await });
        }
        while let Some(called) = calls.join_next().await {
            called.unwrap().unwrap();
        }
        assert!(database.terminate_all().await > 0);
    }
    assert!(database.connections("true").await <= i64::from(database.service.pool_size));
}

/// The same while a statement runs: it is told again on a new connection, and takes effect once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_connection_is_ended_half_way_is_repeated() {
    let Some(server) = server() else { return };
    let database = TestDatabase::migrated(&server).await;
    let store = database.store();
    store.ready().await.unwrap();
    let blocker = lock(&database, "tasks").await;
    let asked = request(&alice(), 1);
    let call = tokio::spawn({
        let (store, asked) = (store.clone(), asked.clone());
        async move { store.record_message_submitted(&asked).await }
    });
    database.has_connections("wait_event_type = 'Lock'", 1).await;
    assert_eq!(database.terminate_all().await, 1);
    database.has_connections("wait_event_type = 'Lock'", 1).await;
    blocker.close().await.unwrap();
    call.await.unwrap().unwrap();
    assert!(matches!(store.task(&alice(), asked.task_id).await.unwrap(), Lookup::Found(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_on_after_the_network_was_cut() {
    let Some(server) = server() else { return };
    let database = TestDatabase::migrated(&server).await;
    let proxy = Proxy::before(&server).await;
    let store = store(proxy.settings(&database.service));
    for round in 0..20 {
        store.record_message_submitted(&request(&alice(), round)).await.unwrap();
        proxy.cut();
    }
}

/// A server that vanished without a word holds nothing up for longer than the timeout, and takes no place of the pool.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_falls_silent_costs_one_timeout() {
    let Some(server) = server() else { return };
    let database = TestDatabase::migrated(&server).await;
    let proxy = Proxy::before(&server).await;
    let settings = PostgresSettings {
        pool_size: 1,
        statement_timeout: Duration::from_millis(300),
        connect_timeout: Duration::from_millis(300),
        ..proxy.settings(&database.service)
    };
    let store = store(settings);
    store.ready().await.unwrap();
    proxy.silence(true);
    for _ in 0..3 {
        let begun = Instant::now();
        unavailable(store.ready().await);
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    }
    proxy.silence(false);
    store.ready().await.unwrap();
}

/// Whoever goes away in the middle of a call leaves a place for the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_dropped_give_their_place_back() {
    let Some(server) = server() else { return };
    let database = TestDatabase::migrated(&server).await;
    let settings = PostgresSettings { pool_size: 1, ..database.service.clone() };
    let store = store(settings);
    store.ready().await.unwrap();
    let blocker = lock(&database, "tasks").await;
    for round in 0..3 {
        let call = request(&alice(), round);
        let dropped = tokio::time::timeout(Duration::from_millis(100), store.record_message_submitted(&call)).await;
        assert!(dropped.is_err());
        let found = store.task(&alice(), call.task_id).await.unwrap();
        assert_eq!(found, Lookup::Unknown);
    }
    blocker.close().await.unwrap();
    store.record_message_submitted(&request(&alice(), 9)).await.unwrap();
    // What was dropped ends on the server as well, at the latest with its timeout.
    database.has_connections("true", 1).await;
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_given_up() {
    let Some(server) = server() else { return };
    let database = TestDatabase::migrated(&server).await;
    let settings = PostgresSettings { statement_timeout: Duration::from_millis(200), ..database.service.clone() };
    let store = store(settings);
    let _blocker = lock(&database, "messages").await;
    let begun = Instant::now();
    let sentence = unavailable(store.record_message_submitted(&request(&alice(), 1)).await);
    assert!(sentence.contains("timeout") && begun.elapsed() < Duration::from_secs(2), "{sentence}");
    let slow = database.connections("state = 'active'").await;
    assert_eq!(slow, 0, "it still runs on the server");
}

/// A busy pool makes calls wait, but not for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_wait_for_a_connection_within_the_connect_timeout() {
    let Some(server) = server() else { return };
    let database = TestDatabase::migrated(&server).await;
    let settings =
        PostgresSettings { pool_size: 1, connect_timeout: Duration::from_millis(300), ..database.service.clone() };
    let store = store(settings);
    store.ready().await.unwrap();
    let blocker = lock(&database, "tasks").await;
    let holding = tokio::spawn({
        let store = store.clone();
        async move { store.record_message_submitted(&request(&alice(), 1)).await }
    });
    database.has_connections("wait_event_type = 'Lock'", 1).await;
    let sentence = unavailable(store.ready().await);
    assert!(sentence.contains("became free"), "{sentence}");
    blocker.close().await.unwrap();
    holding.await.unwrap().unwrap();
    store.ready().await.unwrap();
}

/// After a failover the old primary takes no writes: its connections are given up, the next call finds the new one.
#[tokio::test]
async fn a_server_that_became_read_only_is_left() {
    let Some(server) = server() else { return };
    let database = TestDatabase::migrated(&server).await;
    let (name, user) = (&database.service.name, &database.service.user);
    let store = database.store();
    database.admin(&format!("ALTER ROLE {user} IN DATABASE {name} SET default_transaction_read_only = on")).await;
    let sentence = unavailable(store.ready().await);
    assert!(sentence.contains("25006"), "{sentence}");
    unavailable(store.record_message_submitted(&request(&alice(), 1)).await);
    database.admin(&format!("ALTER ROLE {user} IN DATABASE {name} RESET default_transaction_read_only")).await;
    store.ready().await.unwrap();
    store.record_message_submitted(&request(&alice(), 1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_room_for_connections_is_unavailable() {
    let Some(server) = server() else { return };
    let database = TestDatabase::migrated(&server).await;
    database.admin(&format!("ALTER ROLE {} CONNECTION LIMIT 1", database.service.user)).await;
    let (one, other) = (database.store(), database.store());
    one.ready().await.unwrap();
    let sentence = unavailable(other.ready().await);
    assert!(sentence.contains("too many connections") && sentence.contains("53300"), "{sentence}");
    one.ready().await.unwrap();
}

/// Each failure is sorted by what the caller can do about it.
#[tokio::test]
async fn failures_are_sorted() {
    let Some(server) = server() else { return };
    let database = TestDatabase::migrated(&server).await;
    let store = database.store();
    // A sequence counts also what is rolled back.
    database.admin(&format!("CREATE SEQUENCE tries; GRANT USAGE ON SEQUENCE tries TO {}", database.service.user)).await;
    for (code, tries, fits) in [
        ("53100", 1, (|error| matches!(error, PortError::Full { .. })) as fn(&PortError) -> bool),
        ("53200", 1, |error| matches!(error, PortError::Unavailable { .. })),
        ("57014", 1, |error| matches!(error, PortError::Unavailable { .. })),
        ("55P03", 1, |error| matches!(error, PortError::Unavailable { .. })),
        ("40001", 4, |error| matches!(error, PortError::Unavailable { .. })),
        ("40P01", 4, |error| matches!(error, PortError::Unavailable { .. })),
        ("25006", 2, |error| matches!(error, PortError::Unavailable { .. })),
        ("42501", 1, |error| matches!(error, PortError::Unavailable { .. })),
        ("22001", 1, |error| matches!(error, PortError::Rejected { .. })),
        ("23514", 1, |error| matches!(error, PortError::Rejected { .. })),
        ("54000", 1, |error| matches!(error, PortError::Rejected { .. })),
    ] {
        database
            .admin(&format!(
                "CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
                 BEGIN
                     PERFORM nextval('public.tries');
                     RAISE EXCEPTION 'as told' USING ERRCODE = '{code}';
                 END $$;
                 CREATE OR REPLACE TRIGGER fails BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION fail();
                 ALTER SEQUENCE tries RESTART"
            ))
            .await;
        // The pool has a connection that was used before.
        store.ready().await.unwrap();
        let error = store.record_message_submitted(&request(&alice(), 1)).await.unwrap_err();
        assert!(fits(&error) && error.to_string().contains(&format!("as told ({code})")), "{code}: {error:?}");
        let mut connection = connect(&database.admin).await;
        let counted: i64 = sqlx::query_scalar("SELECT last_value FROM tries").fetch_one(&mut connection).await.unwrap();
        assert_eq!(counted, tries, "{code}");
    }
    database.admin("DROP TRIGGER fails ON messages").await;
    store.record_message_submitted(&request(&alice(), 1)).await.unwrap();
    assert_eq!(database.connections("state LIKE 'idle in%'").await, 0);
}

#[tokio::test]
async fn a_unix_socket_is_a_host() {
    let Some(server) = server() else { return };
    let database = TestDatabase::migrated(&server).await;
    let mut connection = connect(&server).await;
    let folders: String = sqlx::query_scalar("SELECT current_setting('unix_socket_directories')")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    let Some(folder) = folders.split(',').map(str::trim).find(|folder| std::path::Path::new(folder).is_dir()) else {
        return;
    };
    let settings = PostgresSettings { host: folder.to_owned(), ..database.service.clone() };
    store(settings).ready().await.unwrap();
    let nowhere = PostgresSettings { host: "/no/such/folder".to_owned(), ..database.service.clone() };
    let sentence = unavailable(store(nowhere).ready().await);
    assert!(sentence.contains("/no/such/folder/.s.PGSQL."), "{sentence}");
}

#[tokio::test]
async fn a_wrong_name_is_told_in_a_sentence() {
    let Some(server) = server() else { return };
    let database = TestDatabase::migrated(&server).await;
    let settings = PostgresSettings { name: "no_such_database".to_owned(), ..database.service.clone() };
    let sentence = unavailable(store(settings).ready().await);
    assert!(sentence.ends_with("has no database \"no_such_database\" (DB_NAME); create it first"), "{sentence}");
}
