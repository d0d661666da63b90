//! A data folder, a mock LLM and the settings, from which servers are started one after the other.

use std::{net::SocketAddr, ops::Deref, path::PathBuf};

use parlance_mock_llm::{MockLlm, RequestRecord, Script};
use tempfile::TempDir;

use super::{Folder, Process, client::HttpClient, command, process::Ended};

/// Everything around the server.
pub struct World {
    pub mock: MockLlm,
    temporary: TempDir,
    settings: Vec<(&'static str, String)>,
}

impl World {
    pub fn new(script: Script) -> Self {
        Self { mock: MockLlm::start(script).unwrap(), temporary: tempfile::tempdir().unwrap(), settings: Vec::new() }
    }

    /// What the model was asked by turns, without what memory asked.
    pub fn turns_asked(&self) -> Vec<RequestRecord> {
        self.mock.requests().into_iter().filter(|request| request.purpose.is_none()).collect()
    }

    /// One more variable.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.settings.push((name, value.to_owned()));
        self
    }

    pub fn data_dir(&self) -> PathBuf {
        self.temporary.path().join("data")
    }

    /// A look into the data folder, beside a server or without one.
    pub async fn folder(&self) -> Folder {
        Folder::open(&self.data_dir()).await
    }

    /// The binary with this world's settings.
    pub fn command(&self) -> std::process::Command {
        let mut command = command();
        command
            .env("DATA_DIR", self.data_dir())
            .env("LLM_BASE_URL", self.mock.base_url())
            .env("LLM_MODEL", "mock-model")
            // A heading that comes at some time would be in the way of tests that are about something else.
            .env("HEADINGS", "off")
            .envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    /// A key of the user `local`, made beside a server or without one.
    pub async fn key(&self) -> String {
        let made = self.operate_json("keys create --name test --user local --role admin").await;
        made["key"].as_str().unwrap().to_owned()
    }

    /// Starts a server that asks for keys, and has one.
    pub async fn start_known(&self) -> Server {
        // Made before, it stands in no log of the server's.
        assert_eq!(self.operate("migrate init").await.code, Some(0));
        let key = self.key().await;
        self.start().await.known_by(&key)
    }

    /// Starts a server on the data folder.
    pub async fn start(&self) -> Server {
        Server::start(Process::start(self.command())).await
    }
}

/// A server that takes calls.
pub struct Server {
    pub process: Process,
    pub address: SocketAddr,
    client: HttpClient,
}

impl Deref for Server {
    type Target = HttpClient;

    fn deref(&self) -> &HttpClient {
        &self.client
    }
}

impl Server {
    /// Waits until the process says where it listens: in a sentence, or in production in its log.
    pub async fn start(process: Process) -> Self {
        let address = process.stdout.find(address_in).await;
        let address = address.unwrap_or_else(|| panic!("it did not start: {:?}", process.stderr.all()));
        Self::at(process, address)
    }

    /// One that says nothing, at a known address.
    pub fn at(process: Process, address: SocketAddr) -> Self {
        Self { process, address, client: HttpClient::new(address) }
    }

    /// Calls with this key from now on.
    #[must_use]
    pub fn known_by(self, key: &str) -> Self {
        Self { client: HttpClient::with_key(self.address, key), ..self }
    }

    pub fn client(&self) -> HttpClient {
        self.client.clone()
    }

    /// Ends it as a crash does.
    pub fn kill(mut self) {
        self.process.kill();
    }

    /// Ends it by SIGTERM, in good order.
    pub async fn stop(self) -> Ended {
        self.process.terminate();
        let ended = self.process.end().await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended
    }
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let rest = match line.split_once("http://") {
        Some((_, rest)) => rest,
        None => line.split_once("\"httpAddress\":\"")?.1,
    };
    rest.split([' ', '"']).next()?.parse().ok()
}
