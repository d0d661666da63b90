//! Keys and the audit log of a data folder keep what all must.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

use std::sync::Arc;

use parlance_conformance::{audit, keys as suite};
use parlance_sqlite::{Database, DatabaseOptions, SqliteAudit, SqliteKeys};
use tempfile::TempDir;

async fn open(folder: &TempDir) -> Database {
    Database::open(DatabaseOptions::new(folder.path())).await.unwrap()
}

macro_rules! conforms {
    ($($name:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let folder = TempDir::new().unwrap();
                let keys = Arc::new(SqliteKeys::new(open(&folder).await));
                suite::$name(suite::Ports { keys: keys.clone(), admin: keys }).await;
            }
        )*
    };
}

conforms!(
    a_key_is_found_by_its_hash,
    its_use_is_noted,
    a_rotation_has_both_keys_for_a_while,
    a_rotation_never_prolongs,
    a_revoked_key_stays_revoked,
    all_are_listed_in_pages,
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_come_in_order_and_go_with_age() {
    let folder = TempDir::new().unwrap();
    audit::entries_come_in_order_and_go_with_age(Arc::new(SqliteAudit::new(open(&folder).await))).await;
}

/// The folder's key is the folder's, whoever opens it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_knows_its_keys_after_a_restart() {
    let (folder, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let database = open(&folder).await;
    let fresh = database.key_mint().fresh();
    database.close().await;
    drop(database);
    assert_eq!(open(&folder).await.key_mint().read(fresh.key.expose()), Some(fresh.hash));
    assert_eq!(open(&other).await.key_mint().read(fresh.key.expose()), None);
}
