//! What `parlance migrate` builds on, and what the services' role may do.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod support;

use parlance_postgres::{
    Database, SchemaError,
    migrations::{self, MigrationError},
};
use parlance_shared::{
    UserId,
    port::{PortError, store::Store as _},
    settings::PostgresSettings,
    task::Status,
};
use sqlx::{AssertSqlSafe, Connection as _};
use support::{
    TestDatabase, connect,
    events::{deleted, reply, request},
    server,
};

#[tokio::test]
async fn an_empty_database_has_all_pending_until_init() {
    let Some(server) = server() else { return };
    let database = TestDatabase::empty(&server).await;
    let before = migrations::status(&database.owner).await.unwrap();
    assert!(before.len() >= 3 && before.iter().all(|state| state.pending && state.known), "{before:?}");
    assert!(before.iter().all(|state| state.applied_at.is_none() && !state.description.is_empty()));
    let report = migrations::validate(&database.owner).await.unwrap();
    assert_eq!(report.pending, before.iter().map(|state| state.version).collect::<Vec<_>>());
    assert!(report.problems()[0].contains("run `parlance migrate init`"), "{:?}", report.problems());
    let stats = migrations::stats(&database.owner).await;
    assert!(matches!(stats, Err(MigrationError::Missing)), "{stats:?}");

    let done = migrations::init(&database.owner).await.unwrap();
    assert!(done.created);
    assert_eq!((done.applied, Some(done.version)), (report.pending, before.last().map(|state| state.version)));
    let after = migrations::status(&database.owner).await.unwrap();
    assert!(after.iter().all(|state| !state.pending && state.applied_at.is_some()), "{after:?}");
    assert!(migrations::validate(&database.owner).await.unwrap().is_valid());

    let again = migrations::init(&database.owner).await.unwrap();
    assert_eq!((again.created, again.applied, again.version), (false, Vec::new(), done.version));
}

/// As on Cloud SQL, where service accounts log in, and a group role that they are members of owns everything.
#[tokio::test]
async fn a_member_of_the_owner_migrates_as_the_owner() {
    let Some(server) = server() else { return };
    let database = TestDatabase::empty(&server).await;
    let (owner, login) = (database.owner.user.clone(), database.service.user.clone());
    database.admin(&format!("GRANT {owner} TO {login}")).await;
    let as_owner = PostgresSettings { role: Some(owner.clone()), ..database.service.clone() };
    assert!(migrations::init(&as_owner).await.unwrap().created);
    assert!(migrations::validate(&as_owner).await.unwrap().is_valid());
    let mut connection = connect(&database.admin).await;
    let owners: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT tableowner::text FROM pg_tables WHERE schemaname = 'public'")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    assert_eq!(owners, std::slice::from_ref(&owner), "not {login}'s");

    // Whoever is no member can't.
    database.admin(&format!("REVOKE {owner} FROM {login}")).await;
    let refused = migrations::status(&as_owner).await.expect_err("not a member").to_string();
    assert!(refused.contains(&owner), "{refused}");
}

/// One works, the others wait and find it done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deployments_at_once_do_not_race() {
    let Some(server) = server() else { return };
    let (database, other) = (TestDatabase::empty(&server).await, TestDatabase::empty(&server).await);
    // Two databases of one server share its roles.
    let (one, two, three, elsewhere) = tokio::join!(
        migrations::init(&database.owner),
        migrations::init(&database.owner),
        migrations::init(&database.owner),
        migrations::init(&other.owner)
    );
    assert!(elsewhere.unwrap().created);
    let reports = [one.unwrap(), two.unwrap(), three.unwrap()];
    assert_eq!(reports.iter().filter(|report| report.created).count(), 1, "{reports:?}");
    assert_eq!(reports.iter().filter(|report| report.applied.is_empty()).count(), 2, "{reports:?}");
}

#[tokio::test]
async fn drift_is_named_by_version() {
    let Some(server) = server() else { return };
    let database = TestDatabase::migrated(&server).await;
    database.admin(r"UPDATE schema_migrations SET checksum = '\x00' WHERE version = 4").await;
    let report = migrations::validate(&database.owner).await.unwrap();
    assert_eq!(report.drift, [4]);
    assert_eq!(report.problems(), ["migration 4 differs from the one that was applied to this database"]);
    let refused = migrations::init(&database.owner).await.unwrap_err();
    assert_eq!(refused.to_string(), report.problems()[0]);
}

#[tokio::test]
async fn closed_tables_and_broken_indexes_are_found() {
    let Some(server) = server() else { return };
    let database = TestDatabase::migrated(&server).await;
    database.admin("REVOKE ALL ON tasks FROM parlance_runtime").await;
    database.admin("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'tasks_by_session'::regclass").await;
    let report = migrations::validate(&database.owner).await.unwrap();
    assert_eq!(
        report.problems(),
        [
            "the role parlance_runtime is missing or can't read table tasks",
            "the index tasks_by_session is not valid; run REINDEX INDEX tasks_by_session",
        ]
    );
}

/// Programs of two versions run side by side while a new one is rolled out, or back.
#[tokio::test]
async fn a_newer_schema_does_and_an_older_one_does_not() {
    let Some(server) = server() else { return };
    let database = TestDatabase::migrated(&server).await;
    let needed = migrations::status(&database.owner).await.unwrap().last().unwrap().version;
    database
        .admin(
            r"INSERT INTO schema_migrations (version, description, success, checksum, execution_time)
              VALUES (9999, 'from the future', TRUE, '\x00', 0)",
        )
        .await;
    database.open().check_schema().await.unwrap();
    let done = migrations::init(&database.owner).await.unwrap();
    assert_eq!((done.applied, done.version), (Vec::new(), 9999));
    let report = migrations::validate(&database.owner).await.unwrap();
    assert_eq!(report.newer, [9999]);
    let last = migrations::status(&database.owner).await.unwrap().pop().unwrap();
    assert_eq!((last.version, last.known, last.pending), (9999, false, false));

    database.admin(&format!("DELETE FROM schema_migrations WHERE version = {needed}")).await;
    let refused = database.open().check_schema().await.unwrap_err();
    assert!(matches!(refused, SchemaError::Older { .. }), "{refused:?}");
    let ready = database.store().ready().await.unwrap_err();
    assert!(matches!(&ready, PortError::Unavailable { cause, .. } if *cause == refused.to_string()), "{ready:?}");
}

#[tokio::test]
async fn a_service_says_what_it_lacks_until_it_has_it() {
    let Some(server) = server() else { return };
    let database = TestDatabase::empty(&server).await;
    let (opened, store): (Database, _) = (database.open(), database.store());
    let version = migrations::status(&database.owner).await.unwrap().last().unwrap().version;
    assert_eq!(
        opened.check_schema().await.unwrap_err().to_string(),
        format!(
            "the database has schema version 0, this program needs version {version}; \
             run `parlance migrate init` as the owner of the schema"
        )
    );
    store.ready().await.unwrap_err();
    migrations::init(&database.owner).await.unwrap();
    let (user, name) = (&database.service.user, &database.service.name);
    assert_eq!(
        opened.check_schema().await.unwrap_err().to_string(),
        format!(
            "user {user:?} may not use the schema of database {name:?}; \
             run `parlance migrate grant {user}` as the owner of the schema"
        )
    );
    migrations::grant(&database.admin, user).await.unwrap();
    migrations::grant(&database.admin, user).await.unwrap();
    opened.check_schema().await.unwrap();
    store.ready().await.unwrap();
    let nobody = migrations::grant(&database.admin, "no \"such\" user").await.unwrap_err().to_string();
    assert_eq!(nobody, r#"the server has no role "no \"such\" user"; create it first"#);
}

/// What makes a database as it was before the migrations that change its largest tables.
const UNDO_LATEST: &str = "
    DROP TABLE api_keys, audit_log, hidden_responses;
    DROP TABLE branches, summaries, provider_circuits, erased_users;
    DROP INDEX tasks_waiting, tasks_by_user, turns_by_user, turns_of_user, checkpoints_of_user, sessions_of_user,
        sessions_by_age;
    ALTER TABLE turns DROP COLUMN details, DROP COLUMN cost_micro_usd;
    ALTER TABLE tasks DROP COLUMN details, DROP COLUMN cost_micro_usd;
    ALTER TABLE messages DROP COLUMN input;
    ALTER TABLE checkpoints DROP COLUMN interrupted_before, DROP COLUMN interrupted_by;
    ALTER TABLE sessions DROP COLUMN strategy, DROP COLUMN strategy_rev;
    DELETE FROM schema_migrations WHERE version >= 7";

/// A migration that waits for a table would make everyone wait behind it: it gives up, and nothing is half done.
#[tokio::test]
async fn a_migration_does_not_queue_behind_long_work() {
    let Some(server) = server() else { return };
    let database = TestDatabase::migrated(&server).await;
    let last = migrations::status(&database.owner).await.unwrap().last().unwrap().version;
    assert_eq!(last, 8, "this test undoes the latest migrations by hand");
    database.admin(UNDO_LATEST).await;
    let mut worker = connect(&database.admin).await;
    sqlx::raw_sql("BEGIN; LOCK TABLE turns IN ROW EXCLUSIVE MODE").execute(&mut worker).await.unwrap();
    let busy = migrations::init(&database.owner).await.unwrap_err();
    assert!(matches!(busy, MigrationError::Busy { .. }), "{busy:?}");
    worker.close().await.unwrap();
    assert_eq!(migrations::init(&database.owner).await.unwrap().applied, [7, 8]);
}

#[tokio::test]
async fn stats_count_rows_and_bytes() {
    let Some(server) = server() else { return };
    let database = TestDatabase::migrated(&server).await;
    let store = database.store();
    for n in 0..7 {
        store.record_message_submitted(&request(&UserId::new("alice"), n)).await.unwrap();
    }
    let stats = migrations::stats(&database.owner).await.unwrap();
    let rows = |name: &str| stats.tables.iter().find(|table| table.table == name).map(|table| table.rows);
    assert_eq!((rows("messages"), rows("users"), rows("turns")), (Some(7), Some(1), Some(0)));
    assert!(stats.tables.is_sorted_by_key(|table| table.table.clone()));
    assert!(stats.tables.iter().all(|table| !table.estimated && table.bytes > 0), "{stats:?}");
    // Partitions are counted with their table.
    assert!(rows("reply_log").is_some() && !stats.tables.iter().any(|table| table.table == "reply_log_0"));
    let tables: u64 = stats.tables.iter().map(|table| table.bytes).sum();
    assert!(stats.bytes > tables && stats.connections > 0 && stats.max_connections > stats.connections, "{stats:?}");
}

/// The services' login does the services' work (the other tests run as it) and nothing else.
#[tokio::test]
async fn the_services_role_can_do_no_more_than_its_work() {
    let Some(server) = server() else { return };
    let database = TestDatabase::migrated(&server).await;
    let store = database.store();
    let asked = request(&UserId::new("alice"), 1);
    store.record_message_submitted(&asked).await.unwrap();
    store.record_reply_completed(&reply(&asked, Status::Completed, 1, "answer")).await.unwrap();
    store.record_session_deleted(&deleted(&asked)).await.unwrap();
    store.ready().await.unwrap();
    let mut service = connect(&database.service).await;
    for forbidden in [
        "CREATE TABLE mine (id int)",
        "CREATE SCHEMA mine",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql RETURN 1",
        "ALTER TABLE tasks ADD COLUMN mine int",
        "ALTER TABLE tasks DISABLE TRIGGER ALL",
        "CREATE INDEX mine ON tasks (status)",
        "DROP TABLE messages",
        "TRUNCATE messages",
        "TRUNCATE reply_log_0",
        "DELETE FROM sessions",
        "DELETE FROM checkpoints",
        "DELETE FROM turns",
        "SELECT checksum FROM schema_migrations",
        "DELETE FROM schema_migrations",
        "UPDATE schema_migrations SET success = false",
        "INSERT INTO schema_migrations (version, success) VALUES (9999, true)",
        "GRANT pg_read_all_data TO CURRENT_USER",
        "ALTER ROLE parlance_runtime LOGIN",
        "CREATE ROLE mine",
        "SELECT pg_read_file('PG_VERSION')",
    ] {
        let told = sqlx::raw_sql(AssertSqlSafe(forbidden)).execute(&mut service).await;
        let code =
            told.as_ref().err().and_then(|error| error.as_database_error()?.code().map(|code| code.into_owned()));
        assert_eq!(code.as_deref(), Some("42501"), "{forbidden}: {told:?}");
    }
    let owner = format!("SET ROLE {}", database.owner.user);
    assert!(sqlx::raw_sql(AssertSqlSafe(owner)).execute(&mut service).await.is_err());
    let versions: Vec<i64> = sqlx::query_scalar("SELECT version FROM schema_migrations WHERE success")
        .fetch_all(&mut service)
        .await
        .unwrap();
    assert!(versions.contains(&1));
    service.close().await.unwrap();
    let looking = migrations::status(&database.service).await.unwrap_err();
    assert!(matches!(looking, MigrationError::NotAllowed { .. }), "{looking:?}");
}
