//! Keys and the audit log in Postgres keep what all must; and a service can't make keys, also not one that was taken over.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod support;

use std::sync::Arc;

use parlance_conformance::{audit, keys as suite};
use parlance_postgres::{Database, PostgresAudit, PostgresKeys};
use parlance_shared::{
    Clock,
    key_mint::KeyMint,
    port::{
        PortError,
        keys::{KeyAdmin as _, Keys as _},
    },
};
use support::{TestDatabase, connect, server};
use tokio::sync::OnceCell;

async fn shared() -> Option<TestDatabase> {
    static SHARED: OnceCell<TestDatabase> = OnceCell::const_new();
    let server = server()?;
    Some(SHARED.get_or_init(async || TestDatabase::migrated(&server).await).await.clone())
}

fn owners(database: &TestDatabase) -> PostgresKeys {
    PostgresKeys::new(Database::new(database.owner.clone(), Clock::system()))
}

macro_rules! conforms {
    ($($name:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(database) = shared().await else { return };
                let keys = Arc::new(PostgresKeys::new(database.open()));
                suite::$name(suite::Ports { keys, admin: Arc::new(owners(&database)) }).await;
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
    let Some(database) = shared().await else { return };
    audit::entries_come_in_order_and_go_with_age(Arc::new(PostgresAudit::new(database.open()))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_can_neither_make_nor_change_keys() {
    let Some(database) = shared().await else { return };
    let (owner, service) = (owners(&database), PostgresKeys::new(database.open()));
    let (fresh, next) = (KeyMint::new(&[2; 32]).fresh(), KeyMint::new(&[2; 32]).fresh());
    let key = suite::full(&fresh);
    let refused = |result: Result<(), PortError>| {
        let error = result.expect_err("a service changed keys");
        assert!(!error.is_transient() && error.to_string().contains("login that owns the schema"), "{error}");
    };
    refused(service.create(&key, &fresh.hash).await);
    owner.create(&key, &fresh.hash).await.unwrap();
    refused(service.revoke(&key.id, Clock::system().now()).await.map(drop));
    refused(service.rotate(&key.id, &suite::full(&next), &next.hash, Clock::system().now()).await.map(drop));
    assert_eq!(service.find(&fresh.hash).await.unwrap(), Some(key.clone()));
    let mut connection = connect(&database.service).await;
    for sql in ["UPDATE api_keys SET role = 'admin'", "DELETE FROM api_keys", "UPDATE api_keys SET revoked_at = NULL"] {
        assert!(sqlx::raw_sql(sql).execute(&mut connection).await.is_err(), "{sql}");
    }
    assert_eq!(owner.get(&key.id).await.unwrap(), Some(key));
}
