//! Runs a script of `clients/` to its end.

use std::{
    ffi::OsString,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use parlance_mock_llm::Script;
use tempfile::TempDir;

use crate::{
    cutting_proxy::CuttingProxy,
    support::{Process, Server, World},
};

/// Longer than any script takes that works, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// What runs a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// `clients/node/*.mjs`
    Node,
    /// `clients/python/*.py`
    Python,
    /// `clients/browser/*.mjs`, in Node too; drives a Chromium.
    Browser,
}

/// A server, a way to it that is cut again and again, and what scripts need to talk to it.
pub struct Site {
    pub server: Server,
    pub proxy: CuttingProxy,
    pub key: String,
    pub world: World,
    folder: TempDir,
}

impl Site {
    /// With the mock LLM, which scripts steer by directives in what they say.
    pub async fn new() -> Self {
        Self::of(World::new(Script::default())).await
    }

    /// The same where nobody is served without a key.
    pub async fn with_key() -> Self {
        // What is cut hundreds of times calls more often than a person.
        let world = World::new(Script::default()).with("AUTH_API_KEYS", "on").with("RATE_LIMIT_PER_USER", "off");
        let mut site = Self::of(world.with("RATE_LIMIT_PER_IP", "off")).await;
        let made = site.world.operate_json("keys create --name clients --user ann").await;
        site.key = made["key"].as_str().unwrap().to_owned();
        site
    }

    /// With settings of its own.
    pub async fn of(world: World) -> Self {
        let server = world.start().await;
        let proxy = CuttingProxy::before(server.address).await;
        // Without identity configured, whoever is on this machine is the one user, whatever key they show.
        Self { server, proxy, key: "unused".to_owned(), world, folder: tempfile::tempdir().unwrap() }
    }

    /// Runs the script, and fails with its output unless it ends well. Where its client is not installed, says so; with
    /// `CI=true` that is a failure too.
    #[track_caller]
    pub fn run(&self, client: Client, script: &str) -> impl Future<Output = ()> {
        self.run_with(client, script, &[])
    }

    /// The same with more variables.
    pub async fn run_with(&self, client: Client, script: &str, variables: &[(&str, &str)]) {
        let Some(mut command) = self.command(client, script) else { return };
        command
            .env("PARLANCE_URL", format!("http://{}", self.server.address))
            .env("PARLANCE_CUT_CONTROL", format!("http://{}", self.proxy.control))
            .env("PARLANCE_KEY", &self.key)
            .envs(variables.iter().copied());
        let addresses: Vec<_> = self.proxy.addresses.iter().map(|address| format!("http://{address}")).collect();
        command.env("PARLANCE_CUT_URL", &addresses[0]).env("PARLANCE_CUT_URLS", addresses.join(","));
        let mut process = Process::start(command);
        let deadline = Instant::now() + PATIENCE;
        while !process.has_ended() {
            if Instant::now() > deadline {
                let (said, erred) = (process.stdout.all().join("\n"), process.stderr.all().join("\n"));
                panic!("{script} does not end:\n{said}\n{erred}");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let ended = process.end().await;
        let (code, stdout, stderr) = (ended.code, ended.stdout, ended.stderr);
        assert_eq!(code, Some(0), "{script} failed:\n{stdout}\n{stderr}");
        println!("{script}:\n{stdout}");
    }

    fn command(&self, client: Client, script: &str) -> Option<Command> {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("clients");
        let mut command = match client {
            Client::Python => {
                let mut python = Command::new(installed("PARLANCE_TEST_PYTHON")?);
                python.arg("-B").arg(sources.join("python").join(script));
                python
            }
            Client::Node => self.node(&sources, "node", script)?,
            Client::Browser => {
                let chromium = installed("PARLANCE_TEST_CHROMIUM")?;
                let mut node = self.node(&sources, "browser", script)?;
                node.env("PARLANCE_TEST_CHROMIUM", chromium);
                node
            }
        };
        command.stdin(Stdio::null()).current_dir(self.folder.path()).env("HOME", self.folder.path());
        for name in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "OPENAI_API_KEY", "OPENAI_BASE_URL"] {
            command.env_remove(name);
        }
        Some(command)
    }

    /// Modules are looked for beside the script: it is reached by a link, with the packages beside it.
    fn node(&self, sources: &Path, folder: &str, script: &str) -> Option<Command> {
        let (node, modules) = (installed("PARLANCE_TEST_NODE")?, installed("PARLANCE_TEST_NODE_MODULES")?);
        let scripts = ["node", "browser"].map(|name| (sources.join(name), name));
        for (from, name) in scripts.into_iter().chain([(PathBuf::from(modules), "node_modules")]) {
            let to = self.folder.path().join(name);
            if !to.exists() {
                symlink(from, to).unwrap();
            }
        }
        let mut command = Command::new(node);
        command.args(["--preserve-symlinks", "--preserve-symlinks-main"]);
        command.arg(self.folder.path().join(folder).join(script));
        Some(command)
    }
}

/// Where `cargo xtask clients` has put it.
fn installed(variable: &str) -> Option<OsString> {
    let found = std::env::var_os(variable).filter(|value| !value.is_empty());
    if found.is_none() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{variable} is not set");
        eprintln!("NOT RUN: {variable} is not set (eval \"$(cargo xtask clients)\")");
    }
    found
}
