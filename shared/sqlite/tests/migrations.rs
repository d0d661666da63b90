//! What `parlance migrate` builds on.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

use std::{fs, path::Path};

use parlance_sqlite::{
    Database, DatabaseOptions, OpenError,
    migrations::{self, InspectError, MigrationError},
};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

async fn raw(folder: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(folder.join("parlance.db")).create_if_missing(true).connect().await.unwrap()
}

/// Changes a closed folder's database behind the program's back.
async fn tamper(folder: &Path, sql: &'static str) {
    let mut connection = raw(folder).await;
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

async fn initialised() -> TempDir {
    let folder = TempDir::new().unwrap();
    migrations::init(folder.path()).await.unwrap();
    folder
}

#[tokio::test]
async fn a_fresh_folder_has_all_pending_until_init() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("not/there/yet");
    let before = migrations::status(&data).await.unwrap();
    assert!(!before.is_empty() && before.iter().all(|state| state.pending && state.known), "{before:?}");
    assert!(before.iter().all(|state| state.applied_at.is_none() && !state.description.is_empty()));
    let report = migrations::validate(&data).await.unwrap();
    assert_eq!(report.pending, before.iter().map(|state| state.version).collect::<Vec<_>>());
    let stats = migrations::stats(&data).await;
    assert!(matches!(stats, Err(InspectError::Missing { .. })), "{stats:?}");
    assert!(!data.exists(), "looking at a folder made it");

    let done = migrations::init(&data).await.unwrap();
    assert!(done.created);
    assert_eq!((done.applied, Some(done.version)), (report.pending, before.last().map(|state| state.version)));
    let after = migrations::status(&data).await.unwrap();
    assert!(after.iter().all(|state| !state.pending && state.applied_at.is_some()), "{after:?}");
    assert!(migrations::validate(&data).await.unwrap().is_valid());

    let again = migrations::init(&data).await.unwrap();
    assert_eq!((again.created, again.applied, again.version), (false, Vec::new(), done.version));
}

#[tokio::test]
async fn what_is_pending_is_listed_and_applied() {
    let folder = TempDir::new().unwrap();
    // A database that has nothing but the first migration.
    let path = folder.path();
    migrations::init(path).await.unwrap();
    tamper(
        path,
        "DELETE FROM schema_migrations WHERE version > 1; DROP TABLE users; DROP TABLE sessions; DROP TABLE tasks;
         DROP TABLE messages; DROP TABLE write_probe;",
    )
    .await;
    let mut connection = raw(path).await;
    let others: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('instance', 'schema_migrations')
         AND name NOT LIKE 'sqlite_%'",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    for table in others {
        sqlx::raw_sql(AssertSqlSafe(format!("DROP TABLE {table}"))).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();

    let states = migrations::status(path).await.unwrap();
    let pending: Vec<i64> = states.iter().filter(|state| state.pending).map(|state| state.version).collect();
    assert_eq!(pending, states[1..].iter().map(|state| state.version).collect::<Vec<_>>());
    let report = migrations::validate(path).await.unwrap();
    assert_eq!(report.pending, pending);
    assert!(report.problems()[0].contains("run `parlance migrate init`"), "{:?}", report.problems());
    assert_eq!(migrations::init(path).await.unwrap().applied, pending);
    assert!(migrations::validate(path).await.unwrap().is_valid());
}

#[tokio::test]
async fn drift_is_named_by_version() {
    let folder = initialised().await;
    tamper(folder.path(), "UPDATE schema_migrations SET checksum = x'00' WHERE version = 4").await;
    let report = migrations::validate(folder.path()).await.unwrap();
    assert_eq!(report.drift, [4]);
    assert_eq!(report.problems(), ["migration 4 differs from the one that was applied to this database"]);
    let refused = migrations::init(folder.path()).await.unwrap_err();
    assert!(matches!(refused, OpenError::Migration(MigrationError::Drift { version: 4 })), "{refused}");
    assert_eq!(refused.to_string(), report.problems()[0]);
}

#[tokio::test]
async fn a_database_of_a_later_program_is_refused() {
    let folder = initialised().await;
    let known = migrations::status(folder.path()).await.unwrap().last().unwrap().version;
    tamper(
        folder.path(),
        "INSERT INTO schema_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'from the future', TRUE, x'00', 0)",
    )
    .await;
    let refused = Database::open(DatabaseOptions::new(folder.path())).await.err().unwrap().to_string();
    let sentence = format!(
        "the database has schema version 9999, this program knows up to {known}; use the newer program, or another DATA_DIR"
    );
    assert_eq!(refused, sentence);
    assert_eq!(migrations::init(folder.path()).await.unwrap_err().to_string(), sentence);
    let report = migrations::validate(folder.path()).await.unwrap();
    assert_eq!((report.newer.as_slice(), report.is_valid()), (&[9999][..], false));
    let last = migrations::status(folder.path()).await.unwrap().pop().unwrap();
    assert_eq!((last.version, last.known, last.pending), (9999, false, false));
    assert_eq!(last.description, "from the future");
    assert!(last.applied_at.is_some());
}

#[tokio::test]
async fn a_running_program_is_looked_at_but_not_migrated() {
    let folder = TempDir::new().unwrap();
    let running = Database::open(DatabaseOptions::new(folder.path())).await.unwrap();
    assert!(migrations::status(folder.path()).await.unwrap().iter().all(|state| !state.pending));
    assert!(migrations::validate(folder.path()).await.unwrap().is_valid());
    let stats = migrations::stats(folder.path()).await.unwrap();
    assert!(stats.wal_bytes > 0, "{stats:?}");
    let refused = migrations::init(folder.path()).await.unwrap_err();
    assert!(matches!(refused, OpenError::InUse { .. }), "{refused}");
    running.close().await;
    drop(running);
    migrations::init(folder.path()).await.unwrap();
}

#[tokio::test]
async fn stats_count_rows_and_pages() {
    let folder = initialised().await;
    let before = migrations::stats(folder.path()).await.unwrap();
    tamper(
        folder.path(),
        "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
         INSERT INTO users (id, first_seen_at) SELECT 'a user with the number ' || i, i FROM n",
    )
    .await;
    let after = migrations::stats(folder.path()).await.unwrap();
    let users = |stats: &migrations::DatabaseStats| stats.tables.iter().find(|t| t.table == "users").cloned().unwrap();
    assert_eq!((users(&before).rows, users(&after).rows), (0, 1000));
    assert!(users(&after).bytes >= 1000 * 25 && users(&after).bytes < 1000 * 100, "{after:?}");
    assert!(users(&before).bytes <= 4096);
    let names: Vec<&str> = after.tables.iter().map(|table| table.table.as_str()).collect();
    assert!(["instance", "messages", "schema_migrations", "sessions", "tasks"].iter().all(|name| names.contains(name)));
    let pages: u64 = after.tables.iter().map(|table| table.bytes).sum();
    assert!(pages + after.free_bytes <= after.file_bytes && after.file_bytes <= pages + after.free_bytes + 64 * 1024);
    let instance = after.tables.iter().find(|table| table.table == "instance").unwrap();
    assert_eq!(instance.rows, 1);
}

#[tokio::test]
async fn what_is_not_a_database_is_said_so() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("parlance.db");
    fs::write(&file, "Dear diary, ".repeat(1000)).unwrap();
    let sentence = format!("{} is not a database", file.display());
    assert_eq!(migrations::status(folder.path()).await.unwrap_err().to_string(), sentence);
    assert_eq!(migrations::validate(folder.path()).await.unwrap_err().to_string(), sentence);
    assert_eq!(migrations::stats(folder.path()).await.unwrap_err().to_string(), sentence);
    let refused = migrations::init(folder.path()).await.unwrap_err();
    assert!(refused.to_string().contains("not a database"), "{refused}");
    assert_eq!(fs::read_to_string(&file).unwrap().len(), 12_000, "the file was changed");
}

#[tokio::test]
async fn damage_is_found() {
    let folder = initialised().await;
    tamper(
        folder.path(),
        "PRAGMA writable_schema = on;
         UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'users') WHERE name = 'tasks';",
    )
    .await;
    let report = migrations::validate(folder.path()).await.unwrap();
    assert!(!report.damage.is_empty() && !report.is_valid(), "{report:?}");
    assert!(report.problems().iter().any(|problem| problem.starts_with("the database is damaged: ")));
}

/// A data folder where nothing can be made: below a file for everyone, and by its permissions for all but root.
#[tokio::test]
async fn a_folder_that_cant_be_written_is_said_so() {
    let outer = TempDir::new().unwrap();
    fs::write(outer.path().join("file"), "").unwrap();
    let below_a_file = outer.path().join("file/data");
    let refused = migrations::init(&below_a_file).await.unwrap_err();
    assert!(matches!(refused, OpenError::NotWritable { .. }), "{refused}");
    assert!(refused.to_string().ends_with("set DATA_DIR to a folder that can"), "{refused}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_read_only_folder_can_be_looked_at() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = initialised().await;
    let permissions = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
    permissions(0o555);
    // Root may write anywhere: then this shows only that looking works.
    let writable = fs::write(folder.path().join("probe"), "").is_ok();
    assert!(migrations::status(folder.path()).await.unwrap().iter().all(|state| !state.pending));
    assert!(migrations::validate(folder.path()).await.unwrap().is_valid());
    assert!(migrations::stats(folder.path()).await.unwrap().file_bytes > 0);
    if !writable {
        fs::remove_file(folder.path().join("parlance.lock")).ok();
        let refused = Database::open(DatabaseOptions::new(folder.path())).await.err().unwrap();
        assert!(!refused.to_string().is_empty());
    }
    permissions(0o755);
}
