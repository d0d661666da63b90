//! The speeds that must be reached. Each module measures one thing, beside the same load straight to the mock.

mod auth;
mod chat;
mod cloud;
mod fallback;
mod first_token;
mod memory;
mod overload;
mod recovery;
mod start;
mod subscribers;
mod throughput;

use std::path::PathBuf;

use tempfile::TempDir;

use crate::{
    Fallible, Stop,
    figure::Figure,
    process::{Process, Programs, ServerOptions},
};

/// Every figure is measured so many times; the median counts.
const RUNS: usize = 3;

/// The benchmarks by name. One may give more than one figure.
pub const NAMES: [&str; 10] =
    ["first-token", "fallback", "memory", "throughput", "chat", "auth", "overload", "subscribers", "start", "recovery"];

/// The benchmarks of the services apart, on Postgres and Pub/Sub's emulator.
pub const CLOUD_NAMES: [&str; 6] =
    ["cloud-first-token", "cloud-throughput", "cloud-live", "cloud-services", "cloud-start", "cloud-image-size"];

/// What the words of a command line mean: nothing means [`NAMES`], `cloud` means [`CLOUD_NAMES`].
pub fn expand(words: &[String]) -> Vec<String> {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    if words.is_empty() {
        return owned(&NAMES);
    }
    words.iter().flat_map(|word| if word == "cloud" { owned(&CLOUD_NAMES) } else { vec![word.clone()] }).collect()
}

/// Runs one of [`NAMES`] or [`CLOUD_NAMES`].
///
/// # Errors
/// When anything is not as it should be.
pub async fn measure(name: &str, programs: &Programs) -> Fallible<Vec<Figure>> {
    if CLOUD_NAMES.contains(&name) {
        return cloud::measure(name, programs).await;
    }
    let rig = Rig::new(programs).await?;
    match name {
        "first-token" => first_token::measure(&rig).await,
        "fallback" => fallback::measure(&rig).await,
        "memory" => memory::measure(&rig).await,
        "throughput" => throughput::measure(&rig).await,
        "chat" => chat::measure(&rig).await,
        "auth" => auth::measure(&rig).await,
        "overload" => overload::measure(&rig).await,
        "subscribers" => subscribers::measure(&rig).await,
        "start" => start::measure(&rig).await,
        "recovery" => recovery::measure(&rig).await,
        _ => Err(Stop::from(format!(
            "no benchmark {name:?}; there are {}, {}",
            NAMES.join(", "),
            CLOUD_NAMES.join(", ")
        ))),
    }
}

/// A mock, and a folder for servers.
struct Rig {
    mock: Process,
    programs: Programs,
    folder: TempDir,
}

impl Rig {
    async fn new(programs: &Programs) -> Fallible<Self> {
        let mock = Process::start_mock(&programs.mock, 0).await?;
        Ok(Self { mock, programs: programs.clone(), folder: tempfile::tempdir()? })
    }

    /// A server with the default settings and this data folder.
    fn server(&self, data_dir: &str) -> ServerOptions {
        let at = |name: String| -> PathBuf { self.folder.path().join(name) };
        ServerOptions {
            program: self.programs.server.clone(),
            data_dir: at(data_dir.to_owned()),
            port: 0,
            llm: self.mock.base_url(),
            log: at(format!("{data_dir}.log")),
            settings: Vec::new(),
        }
    }

    async fn ready_server(&self, data_dir: &str) -> Fallible<Process> {
        let server = Process::start_server(&self.server(data_dir)).await?;
        server.ready().await?;
        Ok(server)
    }
}
