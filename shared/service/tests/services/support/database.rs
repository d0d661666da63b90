//! A database of its own for each test, with the login that a service has.

use parlance_postgres::migrations;
use parlance_shared::settings::{DatabaseSettings, PostgresSettings, Settings};
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection, postgres::PgConnectOptions};
use uuid::Uuid;

/// Dropped with this value, whoever is still connected.
pub struct TestDatabase {
    pub name: String,
    /// What services log in as: no owner, no superuser.
    pub user: String,
    pub secret: String,
    /// Where the owner of the schema logs in.
    pub owner_url: String,
    server: PostgresSettings,
}

impl TestDatabase {
    /// One without a schema.
    pub async fn empty(url: &str) -> Self {
        let settings = Settings::from_variables(|name| (name == "DATABASE_URL").then(|| url.to_owned())).unwrap();
        let DatabaseSettings::Postgres(server) = settings.database else { panic!("no URL of a Postgres: {url}") };
        let name = format!("services_{}", Uuid::now_v7().simple());
        let (base, _) = url.rsplit_once('/').unwrap();
        let owner_url = format!("{base}/{name}");
        let (user, secret) = (format!("{name}_service"), Uuid::new_v4().simple().to_string());
        let database = Self { name, user, secret, owner_url, server };
        let Self { name, user, secret, server, .. } = &database;
        let mut connection = connect(server).await;
        for sql in [format!("CREATE ROLE {user} LOGIN PASSWORD '{secret}'"), format!("CREATE DATABASE {name}")] {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        }
        database
    }

    /// One that services can work with.
    pub async fn migrated(url: &str) -> Self {
        let database = Self::empty(url).await;
        database.migrate().await;
        migrations::grant(&database.admin(), &database.user).await.unwrap();
        database
    }

    pub async fn migrate(&self) {
        migrations::init(&self.admin()).await.unwrap();
    }

    fn admin(&self) -> PostgresSettings {
        PostgresSettings { name: self.name.clone(), ..self.server.clone() }
    }

    /// `HOST:PORT` of the server.
    pub fn server(&self) -> String {
        format!("{}:{}", self.server.host, self.server.port)
    }

    /// As the superuser.
    pub async fn execute(&self, sql: &str) {
        let mut connection = connect(&self.admin()).await;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    }

    /// One number, as the superuser.
    pub async fn number(&self, sql: &str) -> i64 {
        let mut connection = connect(&self.admin()).await;
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut connection).await.unwrap()
    }

    /// Keeps a copy of it as it is now, as a backup for this point in time does. Whoever is connected is cut off for that
    /// moment: Postgres copies nothing that is in use.
    pub async fn back_up(&self) {
        let Self { name, server, .. } = self;
        let mut connection = connect(server).await;
        for sql in [
            format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"),
            format!("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}'"),
            format!("CREATE DATABASE {} TEMPLATE {name}", self.backup()),
            format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"),
        ] {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        }
        // A restored database has what was written to its log: the unlogged tables are empty.
        let copy = PostgresSettings { name: self.backup(), ..server.clone() };
        let mut copy = connect(&copy).await;
        let empty = "DO $$ DECLARE unlogged regclass; BEGIN
            FOR unlogged IN SELECT oid FROM pg_class WHERE relpersistence = 'u' AND relkind = 'r' LOOP
                EXECUTE format('TRUNCATE %s', unlogged);
            END LOOP;
        END $$";
        sqlx::raw_sql(AssertSqlSafe(empty.to_owned())).execute(&mut copy).await.unwrap();
    }

    /// Loses it with all that came since [`TestDatabase::back_up`], and puts the copy in its place.
    pub async fn lose_and_restore(&self) {
        let Self { name, server, .. } = self;
        let mut connection = connect(server).await;
        for sql in
            [format!("DROP DATABASE {name} WITH (FORCE)"), format!("ALTER DATABASE {} RENAME TO {name}", self.backup())]
        {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        }
    }

    fn backup(&self) -> String {
        format!("{}_backup", self.name)
    }

    /// Cuts every connection of the services at the server; gives how many there were.
    pub async fn cut_all(&self) -> i64 {
        self.number(&format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '{}'",
            self.user
        ))
        .await
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let Self { name, user, server, .. } = &*self;
        let statements = [
            format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
            format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.backup()),
            format!("DROP ROLE IF EXISTS {user}"),
        ];
        let server = server.clone();
        // The test's own runtime is busy with this drop.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut connection = connect(&server).await;
                for sql in statements {
                    let _ = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await;
                }
            });
        });
        let _ = dropping.join();
    }
}

async fn connect(settings: &PostgresSettings) -> PgConnection {
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
