//! Encryption, passwords and a crash, on a server of the test's own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod support;

use std::time::Duration;

use parlance_postgres::{Database, PostgresStore, migrations};
use parlance_shared::{
    Clock, UserId,
    port::{
        PortError,
        store::{Lookup, Store as _},
    },
    settings::{PostgresSettings, Secret, SslMode},
};
use sqlx::AssertSqlSafe;
use support::{
    connect,
    events::request,
    own_server::{OwnServer, PASSWORD},
    server,
};

fn store(settings: PostgresSettings) -> PostgresStore {
    PostgresStore::new(Database::new(settings, Clock::system()))
}

async fn run(settings: &PostgresSettings, sql: &str) {
    let mut connection = connect(settings).await;
    for statement in sql.split(';') {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.unwrap();
    }
}

#[tokio::test]
async fn encryption_is_as_strict_as_it_says() {
    let Some(server) = server() else { return };
    let Some(own) = OwnServer::start(&server).await else { return };
    run(&own.admin, "CREATE DATABASE encrypted").await;
    let encrypted = own.over_tcp("admin", "encrypted");
    migrations::init(&PostgresSettings { name: "encrypted".to_owned(), ..own.admin.clone() }).await.unwrap();
    let root = Some(own.root_cert.clone());
    for (ssl, host, root, refusal) in [
        (SslMode::Disable, "127.0.0.1", None, Some("does not let user \"admin\" in")),
        (SslMode::Prefer, "127.0.0.1", None, None),
        (SslMode::Require, "127.0.0.1", None, None),
        (SslMode::VerifyCa, "127.0.0.1", None, Some("(DB_SSL): invalid peer certificate")),
        (SslMode::VerifyCa, "127.0.0.1", root.clone(), None),
        (SslMode::VerifyFull, "127.0.0.1", root.clone(), Some("(DB_SSL): invalid peer certificate")),
        (SslMode::VerifyFull, "localhost", None, Some("(DB_SSL): invalid peer certificate")),
        (SslMode::VerifyFull, "localhost", root, None),
    ] {
        let settings = PostgresSettings { ssl, host: host.to_owned(), ssl_root_cert: root, ..encrypted.clone() };
        match (store(settings).ready().await, refusal) {
            (Ok(()), None) => {}
            (Err(error), Some(words)) if error.to_string().contains(words) => {}
            (outcome, _) => panic!("{ssl:?} to {host}: {outcome:?}"),
        }
    }
}

#[tokio::test]
async fn a_wrong_password_is_told_without_the_password() {
    let Some(server) = server() else { return };
    let Some(own) = OwnServer::start(&server).await else { return };
    for password in [Some(Secret::new("hunter2")), None] {
        let settings = PostgresSettings { password, ..own.over_tcp("admin", "postgres") };
        let port = settings.port;
        let Err(PortError::Unavailable { cause, .. }) = store(settings).ready().await else { panic!("let in") };
        assert_eq!(cause, format!("127.0.0.1:{port} refuses the password of user \"admin\" (DB_PASSWORD)"));
    }
    assert!(!format!("{:?}", own.over_tcp("admin", "postgres")).contains(PASSWORD));
}

/// What was committed is there, and nobody has to restart the service.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_of_the_server_is_survived() {
    let Some(server) = server() else { return };
    let Some(mut own) = OwnServer::start(&server).await else { return };
    migrations::init(&own.admin).await.unwrap();
    let store = store(own.over_tcp("admin", "postgres"));
    let alice = UserId::new("alice");
    for round in 0..2 {
        let asked = request(&alice, round);
        store.record_message_submitted(&asked).await.unwrap();
        own.crash();
        let down = store.record_message_submitted(&asked).await;
        assert!(matches!(down, Err(PortError::Unavailable { .. })), "{down:?}");
        own.up().await;
        store.ready().await.unwrap();
        assert!(matches!(store.task(&alice, asked.task_id).await.unwrap(), Lookup::Found(_)));
    }
    // Also when nobody called while it was away.
    own.crash();
    own.up().await;
    store.ready().await.unwrap();
}

/// A schema's owner need not be allowed to make roles; whoever is gets told what to do.
#[tokio::test]
async fn what_the_owner_may_not_do_is_told_with_its_remedy() {
    let Some(server) = server() else { return };
    let Some(own) = OwnServer::start(&server).await else { return };
    run(
        &own.admin,
        &format!("CREATE ROLE modest LOGIN PASSWORD '{PASSWORD}';CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'"),
    )
    .await;
    run(&own.admin, "CREATE DATABASE theirs").await;
    let modest = PostgresSettings { connect_timeout: Duration::from_secs(10), ..own.over_tcp("modest", "theirs") };
    let told = migrations::init(&modest).await.unwrap_err().to_string();
    assert_eq!(
        told,
        "user \"modest\" may not do that: permission denied for schema public; run this as the owner of database \"theirs\""
    );
    run(&own.admin, "ALTER DATABASE theirs OWNER TO modest").await;
    let told = migrations::init(&modest).await.unwrap_err().to_string();
    assert_eq!(
        told,
        "user \"modest\" may not do that: the role parlance_runtime is missing, and modest may not make it; \
         as a user with CREATEROLE, run: CREATE ROLE parlance_runtime NOLOGIN"
    );
    run(&own.admin, "CREATE ROLE parlance_runtime NOLOGIN").await;
    assert!(migrations::init(&modest).await.unwrap().created);
    let told = migrations::grant(&modest, "app").await.unwrap_err().to_string();
    assert!(
        told.starts_with("user \"modest\" may not do that: ")
            && told.ends_with("; as a user with CREATEROLE, run: GRANT parlance_runtime TO app"),
        "{told}"
    );
    run(&own.admin, "GRANT parlance_runtime TO app").await;
    store(own.over_tcp("app", "theirs")).ready().await.unwrap();
}
