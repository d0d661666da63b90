//! Everything around the services, from which any number of each is started.

use std::{net::SocketAddr, ops::Deref, process::Command};

use parlance_mock_llm::{MockLlm, Script};
use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;
use uuid::Uuid;

use super::{Ended, HttpClient, Process, Proxy, TestDatabase, program, pubsub::PubSub};

/// A database, a project, a mock LLM, and proxies before the first two.
pub struct World {
    pub mock: MockLlm,
    pub pubsub: PubSub,
    pub to_pubsub: Proxy,
    pub to_database: Proxy,
    emulator: String,
    settings: Vec<(&'static str, String)>,
    /// Where the services are started: none may leave anything there.
    folder: TempDir,
    // The last to go.
    pub database: TestDatabase,
}

/// Where the real parts are; `None` where one is missing: then the test says so, and passes unless `CI=true`.
fn part(name: &str) -> Option<String> {
    let found = std::env::var(name).ok();
    if found.is_none() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{name} is not set");
        println!("not run: needs Postgres and Google's Pub/Sub emulator (cargo xtask services up)");
    }
    found
}

/// The URL of a server that may be used for databases.
pub fn postgres() -> Option<String> {
    part("PARLANCE_TEST_POSTGRES_URL")
}

impl World {
    pub async fn new(script: Script) -> Option<Self> {
        let (postgres, emulator) = (postgres()?, part("PARLANCE_TEST_PUBSUB_EMULATOR_HOST")?);
        Some(Self::with_database(TestDatabase::migrated(&postgres).await, emulator, script).await)
    }

    /// The same with a database that has no schema.
    pub async fn without_schema() -> Option<Self> {
        let (postgres, emulator) = (postgres()?, part("PARLANCE_TEST_PUBSUB_EMULATOR_HOST")?);
        Some(Self::with_database(TestDatabase::empty(&postgres).await, emulator, Script::default()).await)
    }

    async fn with_database(database: TestDatabase, emulator: String, script: Script) -> Self {
        let mock = MockLlm::start(script).unwrap();
        let project = format!("t-{}", &Uuid::new_v4().simple().to_string()[..24]);
        let to_database = Proxy::before(database.server()).await;
        let to_pubsub = Proxy::before(emulator.clone()).await;
        let TestDatabase { name, user, secret, .. } = &database;
        let settings = vec![
            ("DATABASE_URL", format!("postgres://{user}:{secret}@{}/{name}", to_database.address)),
            ("PUBSUB_EMULATOR_HOST", to_pubsub.address.to_string()),
            ("PUBSUB_PROJECT_ID", project.clone()),
            ("ID_SECRET", format!("{0}{0}", Uuid::new_v4().simple())),
            ("LLM_BASE_URL", mock.base_url()),
            ("LLM_MODEL", "mock-model".to_owned()),
            // A heading that comes at some time would be in the way of tests that are about something else.
            ("HEADINGS", "off".to_owned()),
        ];
        let pubsub = PubSub::new(&emulator, &project);
        Self {
            mock,
            pubsub,
            to_pubsub,
            to_database,
            emulator,
            settings,
            folder: tempfile::tempdir().unwrap(),
            database,
        }
    }

    /// One more variable, or another value, for what is started from now on.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.settings.retain(|(known, _)| *known != name);
        self.settings.push((name, value.to_owned()));
        self
    }

    /// What ids are made with, and webhooks signed.
    pub fn id_secret(&self) -> &str {
        self.settings.iter().find(|(name, _)| *name == "ID_SECRET").map_or("", |(_, value)| value)
    }

    /// A program with this world's settings.
    pub fn command(&self, name: &str) -> Command {
        let mut command = program(name);
        command.current_dir(self.folder.path()).envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    /// A program with a proxy of its own before the emulator.
    pub async fn another_way_to_pubsub(&self, name: &str) -> (Proxy, Command) {
        let proxy = Proxy::before(self.emulator.clone()).await;
        let mut command = self.command(name);
        command.env("PUBSUB_EMULATOR_HOST", proxy.address.to_string());
        (proxy, command)
    }

    /// Nothing was left where the services were started.
    pub fn assert_no_files(&self) {
        let left: Vec<_> = std::fs::read_dir(self.folder.path()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }

    pub async fn ingest(&self) -> Service {
        Service::start(self.command("ingest-api")).await
    }

    pub async fn llm_worker(&self) -> Service {
        Service::start(self.command("llm-worker")).await
    }

    pub async fn persist_worker(&self) -> Service {
        Service::start(self.command("persist-worker")).await
    }

    /// One of each.
    pub async fn all(&self) -> (Service, Service, Service) {
        tokio::join!(self.ingest(), self.llm_worker(), self.persist_worker())
    }

    /// Runs an operator's command with a service's login, and gives what it prints as JSON.
    pub async fn operate(&self, line: &str) -> Value {
        self.run_operators(self.command("parlance"), line).await
    }

    /// The same with the login that owns the schema.
    pub async fn operate_as_owner(&self, line: &str) -> Value {
        let mut command = self.command("parlance");
        command.env("DATABASE_URL", &self.database.owner_url);
        self.run_operators(command, line).await
    }

    async fn run_operators(&self, mut command: Command, line: &str) -> Value {
        command.args(line.split_whitespace()).arg("--json").env("USER", "olga");
        let ended = Process::start(command).end().await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
    }
}

/// A service that takes calls.
pub struct Service {
    pub process: Process,
    client: HttpClient,
}

impl Deref for Service {
    type Target = HttpClient;

    fn deref(&self) -> &HttpClient {
        &self.client
    }
}

impl Service {
    /// Waits until the process says that it is ready.
    pub async fn start(command: Command) -> Self {
        let mut process = Process::start(command);
        let address = process.find(|line| line.split_once("http.address=")?.1.split_whitespace().next()?.parse().ok());
        let address: SocketAddr = address.await.unwrap_or_else(|| panic!("it did not start: {}", process.log()));
        Self { process, client: HttpClient::new(address) }
    }

    /// Ends it as a crash does.
    pub fn kill(mut self) {
        self.process.kill();
    }

    /// Ends it by SIGTERM, in good order.
    pub async fn stop(self) -> Ended {
        self.process.signal("TERM");
        let ended = self.process.end().await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended
    }

    /// Whether `/health/ready` says so.
    pub async fn is_ready(&self) -> bool {
        let ready = self.try_call(Method::GET, "/health/ready", &[], None).await;
        ready.is_ok_and(|ready| ready.status == 200)
    }
}
