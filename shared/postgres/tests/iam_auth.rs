//! Logins by access tokens, into a server that asks for them as Cloud SQL does: as passwords in the clear, under TLS, of users
//! who are called by the e-mail addresses of accounts. What that server takes for a token is the role's password.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod support;

use std::time::{Duration, Instant};

use parlance_conformance::wait::eventually;
use parlance_postgres::{Database, PostgresStore, Role, migrations};
use parlance_shared::{
    Clock,
    port::{PortError, store::Store as _},
    settings::{PostgresSettings, SslMode},
};
use sqlx::AssertSqlSafe;
use support::{
    connect,
    metadata::{Answer, MetadataServer, is_on_its_own},
    own_server::OwnServer,
    process::Process,
    server,
};

const OWNER: &str = "parlance-migrate@example-project.iam";
const SERVICE: &str = "ingest-api@example-project.iam";
const HOUR: u64 = 3600;

/// A database that an operator has prepared on Cloud SQL, for accounts whose token this is.
struct CloudSql {
    server: OwnServer,
}

impl CloudSql {
    async fn start(token: &str) -> Option<Self> {
        let server = OwnServer::start(&server()?).await?;
        let it = Self { server };
        // Cloud SQL makes databases with this owner. It gives no account the right to make roles.
        it.admin("CREATE ROLE cloudsqlsuperuser").await;
        it.admin(&format!("CREATE ROLE \"{OWNER}\" LOGIN PASSWORD '{token}' IN ROLE cloudsqlsuperuser")).await;
        it.admin(&format!("CREATE ROLE \"{SERVICE}\" LOGIN PASSWORD '{token}'")).await;
        it.admin("CREATE DATABASE iam OWNER cloudsqlsuperuser").await;
        // What an operator has to do once, as a user who may make roles.
        it.admin("CREATE ROLE parlance_runtime NOLOGIN").await;
        it.admin(&format!("GRANT parlance_runtime TO \"{OWNER}\" WITH ADMIN OPTION")).await;
        Some(it)
    }

    async fn migrated(token: &str) -> Option<Self> {
        let it = Self::start(token).await?;
        migrations::init(&it.account(OWNER)).await.unwrap();
        migrations::grant(&it.account(OWNER), SERVICE).await.unwrap();
        Some(it)
    }

    fn account(&self, user: &str) -> PostgresSettings {
        PostgresSettings {
            password: None,
            iam_auth: true,
            ssl: SslMode::Require,
            connect_timeout: Duration::from_secs(3),
            ..self.server.over_tcp(user, "iam")
        }
    }

    fn store(&self) -> PostgresStore {
        PostgresStore::new(Database::new(self.account(SERVICE), Clock::system()))
    }

    async fn admin(&self, sql: &str) {
        let mut connection = connect(&self.server.admin).await;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    }

    /// From now on the service's account has this token and no other.
    async fn takes(&self, token: &str) {
        self.admin(&format!("ALTER ROLE \"{SERVICE}\" PASSWORD '{token}'")).await;
    }

    /// The service's connections to the server, by when they were made.
    async fn connections(&self, condition: &str) -> Vec<i32> {
        let mut connection = connect(&self.server.admin).await;
        let sql =
            format!("SELECT pid FROM pg_stat_activity WHERE usename = $1 AND ({condition}) ORDER BY backend_start");
        sqlx::query_scalar(AssertSqlSafe(sql)).bind(SERVICE).fetch_all(&mut connection).await.unwrap()
    }

    async fn cut_all(&self) {
        let mut connection = connect(&self.server.admin).await;
        let sql = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = $1";
        sqlx::query(sql).bind(SERVICE).fetch_all(&mut connection).await.unwrap();
    }
}

fn token(text: &str) -> Answer {
    Answer::Token(text.to_owned(), HOUR)
}

#[track_caller]
fn sentence(outcome: Result<(), PortError>) -> String {
    match outcome {
        Err(PortError::Unavailable { cause, .. }) => cause,
        other => panic!("{other:?}"),
    }
}

/// The owner migrates and lets a service in without the right to make roles; the service works and listens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_own_the_schema_and_use_it() {
    if !is_on_its_own("accounts_own_the_schema_and_use_it") {
        return;
    }
    let Some(cloud_sql) = CloudSql::start("ya29.first").await else { return };
    let metadata = MetadataServer::start(token("ya29.first")).await;
    let owner = cloud_sql.account(OWNER);
    assert!(migrations::init(&owner).await.unwrap().created);
    assert!(migrations::init(&owner).await.unwrap().applied.is_empty());
    let told = cloud_sql.store().ready().await.unwrap_err().to_string();
    assert!(told.contains(&format!("run `parlance migrate grant {SERVICE}` as the owner")), "{told}");
    for _ in 0..2 {
        migrations::grant(&owner, SERVICE).await.unwrap();
    }
    assert!(migrations::validate(&owner).await.unwrap().is_valid());
    let store = cloud_sql.store();
    store.ready().await.unwrap();
    let encrypted: Vec<i32> = cloud_sql.connections("pid IN (SELECT pid FROM pg_stat_ssl WHERE ssl)").await;
    assert!(!encrypted.is_empty() && encrypted == cloud_sql.connections("true").await);
    let process = Process::with(cloud_sql.account(SERVICE), Role::Reader);
    let listening = "query LIKE 'LISTEN%'";
    eventually("it listens", async || (cloud_sql.connections(listening).await.len() == 1).then_some(())).await;
    process.kill().await;
    assert!(metadata.asked() > 0);
}

/// Connections outlive their token; those made later have the next one, also where nobody said that the first is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_token_is_renewed_and_connections_outlive_theirs() {
    if !is_on_its_own("a_refused_token_is_renewed_and_connections_outlive_theirs") {
        return;
    }
    let metadata = MetadataServer::start(token("ya29.first")).await;
    let Some(cloud_sql) = CloudSql::migrated("ya29.first").await else { return };
    let store = cloud_sql.store();
    let process = Process::with(cloud_sql.account(SERVICE), Role::Reader);
    let listening = "query LIKE 'LISTEN%'";
    eventually("it listens", async || (cloud_sql.connections(listening).await.len() == 1).then_some(())).await;
    store.ready().await.unwrap();
    let before = cloud_sql.connections("true").await;
    let asked = metadata.asked();
    // A hundred calls of one token.
    cloud_sql.cut_all().await;
    for _ in 0..100 {
        store.ready().await.unwrap();
    }
    assert_eq!(metadata.asked(), asked, "its token was not kept");
    eventually("it listens", async || (cloud_sql.connections(listening).await.len() == 1).then_some(())).await;
    let now = cloud_sql.connections("true").await;
    assert!(now.iter().all(|pid| !before.contains(pid)));

    metadata.set(token("ya29.second"));
    cloud_sql.takes("ya29.second").await;
    store.ready().await.unwrap();
    assert_eq!(cloud_sql.connections("true").await, now, "connections were made anew although the old ones live");
    cloud_sql.cut_all().await;
    store.ready().await.unwrap();
    eventually("it listens", async || (cloud_sql.connections(listening).await.len() == 1).then_some(())).await;
    assert_eq!(metadata.asked(), asked + 2, "one for the store, one for the process");
    process.kill().await;
}

/// What is cached is used until it expires, whatever becomes of the metadata server; then a sentence says what is missing, and
/// nothing has to be restarted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_metadata_server_may_go_away() {
    if !is_on_its_own("a_metadata_server_may_go_away") {
        return;
    }
    let metadata = MetadataServer::start(token("ya29.first")).await;
    let Some(cloud_sql) = CloudSql::migrated("ya29.first").await else { return };
    let store = cloud_sql.store();
    metadata.set(Answer::Token("ya29.first".to_owned(), 4));
    let begun = Instant::now();
    store.ready().await.unwrap();
    let made = cloud_sql.connections("true").await;
    for answer in [Answer::Error, Answer::Silence] {
        metadata.set(answer);
        cloud_sql.cut_all().await;
        store.ready().await.unwrap();
    }
    assert!(begun.elapsed() < Duration::from_secs(4), "this machine is too slow to tell");
    assert_ne!(cloud_sql.connections("true").await, made);
    metadata.set(Answer::Error);
    let told = eventually("the token has expired", async || {
        cloud_sql.cut_all().await;
        store.ready().await.err()
    });
    let told = told.await.to_string();
    assert!(told.contains(&format!("there is no access token for user {SERVICE:?} (DB_IAM_AUTH): ")), "{told}");
    let told = eventually("the metadata server is asked again", async || {
        Some(store.ready().await.err()?.to_string()).filter(|told| told.contains("no tokens today"))
    });
    assert!(!told.await.contains("ya29"));
    metadata.set(token("ya29.second"));
    cloud_sql.takes("ya29.second").await;
    eventually("there are tokens again", async || store.ready().await.ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_metadata_server_that_is_silent_or_nowhere_costs_a_connect_timeout() {
    if !is_on_its_own("a_metadata_server_that_is_silent_or_nowhere_costs_a_connect_timeout") {
        return;
    }
    let Some(cloud_sql) = CloudSql::start("ya29.first").await else { return };
    let settings = PostgresSettings { connect_timeout: Duration::from_millis(500), ..cloud_sql.account(OWNER) };
    let store = PostgresStore::new(Database::new(settings, Clock::system()));
    // Nobody listens there.
    let told = sentence(store.ready().await);
    assert!(told.contains("(DB_IAM_AUTH)") && told.contains("onnect"), "{told}");
    let metadata = MetadataServer::start(Answer::Silence).await;
    let told = eventually("it is asked", async || {
        let begun = Instant::now();
        let told = sentence(store.ready().await);
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        (metadata.asked() > 0).then_some(told)
    });
    assert!(told.await.ends_with("does not answer in time (DB_CONNECT_TIMEOUT)"));
    metadata.set(token("ya29.first"));
    let told = eventually("it answers", async || {
        Some(store.ready().await.err()?.to_string()).filter(|told| told.contains("schema"))
    });
    assert!(told.await.contains("parlance migrate init"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_says_what_to_check() {
    if !is_on_its_own("a_refusal_says_what_to_check") {
        return;
    }
    let Some(cloud_sql) = CloudSql::start("ya29.first").await else { return };
    let metadata = MetadataServer::start(token("ya29.of-somebody-else")).await;
    let store = cloud_sql.store();
    for _ in 0..5 {
        let told = sentence(store.ready().await);
        let port = cloud_sql.server.admin.port;
        let beginning = format!("127.0.0.1:{port} does not let user {SERVICE:?} in by an access token (DB_IAM_AUTH): ");
        assert!(told.starts_with(&beginning) && told.contains("roles/cloudsql.instanceUser"), "{told}");
        assert!(told.contains("cloudsql.iam_authentication=on") && !told.contains("ya29"), "{told}");
    }
    assert_eq!(metadata.asked(), 2, "each refusal asks for another token");
    // Other reasons are told as ever.
    let settings = PostgresSettings { name: "no_such_database".to_owned(), ..cloud_sql.account(OWNER) };
    metadata.set(token("ya29.first"));
    let told = migrations::init(&settings).await.unwrap_err().to_string();
    assert!(told.contains("has no database \"no_such_database\" (DB_NAME)"), "{told}");
}
