//! Databases of their own for tests, on the server that `PARLANCE_TEST_POSTGRES_URL` names.
#![allow(dead_code, reason = "each test program uses a part")]
#![allow(clippy::print_stderr, reason = "says what was not run")]

pub mod events;
pub mod metadata;
pub mod own_server;
pub mod process;
pub mod proxy;
pub mod record;
pub mod reply;

use parlance_conformance::wait::eventually;
use parlance_postgres::{Database, PostgresStore, migrations};
use parlance_shared::{
    Clock,
    settings::{DatabaseSettings, PostgresSettings, Secret, Settings},
};
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection, Row as _, postgres::PgConnectOptions};
use tokio::sync::OnceCell;
use uuid::Uuid;

const URL: &str = "PARLANCE_TEST_POSTGRES_URL";

/// The server's superuser; `None`, with a word about it, where there is no server.
pub fn server() -> Option<PostgresSettings> {
    let Ok(url) = std::env::var(URL) else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{URL} is not set");
        eprintln!("not run: needs Postgres (cargo xtask services up)");
        return None;
    };
    Some(settings(&url))
}

pub fn settings(url: &str) -> PostgresSettings {
    let settings = Settings::from_variables(|name| (name == "DATABASE_URL").then(|| url.to_owned())).unwrap();
    match settings.database {
        DatabaseSettings::Postgres(postgres) => postgres,
        DatabaseSettings::Sqlite { .. } => panic!("{URL} names no Postgres"),
    }
}

/// A database with its owner, who may make roles, and a login for services; neither is a superuser.
#[derive(Clone)]
pub struct TestDatabase {
    /// The superuser, in this database.
    pub admin: PostgresSettings,
    /// Migrates.
    pub owner: PostgresSettings,
    /// What services use.
    pub service: PostgresSettings,
}

impl TestDatabase {
    /// An empty one.
    pub async fn empty(server: &PostgresSettings) -> Self {
        static SWEPT: OnceCell<()> = OnceCell::const_new();
        SWEPT.get_or_init(async || sweep(server).await).await;
        let name = format!("t_{}", Uuid::now_v7().simple());
        let (owner, service) = (format!("{name}_owner"), format!("{name}_service"));
        let secret = Uuid::new_v4().simple().to_string();
        let mut connection = connect(server).await;
        for statement in [
            format!("CREATE ROLE {owner} LOGIN CREATEROLE PASSWORD '{secret}'"),
            format!("CREATE ROLE {service} LOGIN PASSWORD '{secret}'"),
            format!("CREATE DATABASE {name} OWNER {owner}"),
        ] {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
        }
        let as_user = |user: String| PostgresSettings {
            name: name.clone(),
            user,
            password: Some(Secret::new(secret.clone())),
            ..server.clone()
        };
        Self {
            admin: PostgresSettings { name: name.clone(), ..server.clone() },
            owner: as_user(owner),
            service: as_user(service),
        }
    }

    /// With the schema, and the service let in.
    pub async fn migrated(server: &PostgresSettings) -> Self {
        let database = Self::empty(server).await;
        migrations::init(&database.owner).await.unwrap();
        // From PostgreSQL 16 on, an owner may grant the role only where it was the one to make it.
        migrations::grant(&database.admin, &database.service.user).await.unwrap();
        database
    }

    /// What a service does its work with.
    pub fn open(&self) -> Database {
        Database::new(self.service.clone(), Clock::system())
    }

    /// The record, as a service has it.
    pub fn store(&self) -> PostgresStore {
        PostgresStore::new(self.open())
    }

    /// Runs statements as the superuser.
    pub async fn admin(&self, sql: &str) {
        let mut connection = connect(&self.admin).await;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    }

    /// Cuts every connection of the service, and says how many there were.
    pub async fn terminate_all(&self) -> usize {
        let mut connection = connect(&self.admin).await;
        let sql = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = $1";
        sqlx::query(sql).bind(&self.service.user).fetch_all(&mut connection).await.unwrap().len()
    }

    /// Waits until the service has so many connections like that.
    pub async fn has_connections(&self, condition: &str, expected: i64) {
        eventually(condition, async || (self.connections(condition).await == expected).then_some(())).await;
    }

    /// The service's connections that are in this state of `pg_stat_activity`.
    pub async fn connections(&self, condition: &str) -> i64 {
        let mut connection = connect(&self.admin).await;
        let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = $1 AND ({condition})");
        let user = self.service.user.clone();
        sqlx::query(AssertSqlSafe(sql)).bind(user).fetch_one(&mut connection).await.unwrap().get(0)
    }
}

/// A connection that knows nothing of the adapter's options.
pub async fn connect(settings: &PostgresSettings) -> PgConnection {
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(&settings.host)
        .port(settings.port)
        .database(&settings.name)
        .username(&settings.user);
    if let Some(password) = &settings.password {
        options = options.password(password.expose());
    }
    options.connect().await.unwrap()
}

/// Drops what tests left an hour ago or earlier: the server may have been up for long.
async fn sweep(server: &PostgresSettings) {
    let mut connection = connect(server).await;
    let now: i64 =
        sqlx::query_scalar("SELECT extract(epoch FROM now())::bigint").fetch_one(&mut connection).await.unwrap();
    let names: Vec<String> = sqlx::query_scalar("SELECT datname::text FROM pg_database WHERE datname LIKE 't\\_%'")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    for name in names {
        let made_at = name.strip_prefix("t_").and_then(|id| Uuid::try_parse(id).ok()?.get_timestamp());
        let Some((seconds, _)) = made_at.map(|stamp| stamp.to_unix()) else { continue };
        if now - i64::try_from(seconds).unwrap() < 3600 {
            continue;
        }
        for statement in [
            format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
            format!("DROP ROLE IF EXISTS {name}_owner"),
            format!("DROP ROLE IF EXISTS {name}_service"),
        ] {
            // Another test program may be at it as well; and the owner of the services' role stays.
            let _ = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await;
        }
    }
}
