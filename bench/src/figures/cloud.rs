//! The speeds of the services apart: one process of each, Google's Pub/Sub emulator, Postgres with fsync on. No proxies
//! stand between.

mod first_token;
mod image_size;
mod live;
mod services;
mod start;
mod throughput;

use std::path::PathBuf;

use tempfile::TempDir;

use crate::{
    Fallible, Stop,
    cloud::{Cloud, CloudOptions, Parts, Servers},
    figure::Figure,
    process::Programs,
};

/// Every figure is measured so many times; the median counts.
const RUNS: usize = 3;
/// Every start is measured so many times.
const STARTS: usize = 10;
/// The name of servers of our own.
const INSTANCE: &str = "bench-speed";

/// Runs one of [`super::CLOUD_NAMES`].
pub(super) async fn measure(name: &str, programs: &Programs) -> Fallible<Vec<Figure>> {
    if name == "cloud-image-size" {
        return image_size::measure(programs).await;
    }
    let mut rig = Rig::new(programs).await?;
    let measured = match name {
        "cloud-first-token" => first_token::measure(&mut rig).await,
        "cloud-throughput" => throughput::measure(&mut rig).await,
        "cloud-live" => live::measure(&mut rig).await,
        "cloud-start" => start::measure(&mut rig).await,
        "cloud-services" => services::measure(&mut rig).await,
        _ => Err(Stop::from(format!("no benchmark {name:?}"))),
    };
    rig.finish(measured).await
}

/// What all of them start from.
struct Rig {
    programs: Programs,
    servers: Servers,
    folder: TempDir,
}

impl Rig {
    async fn new(programs: &Programs) -> Fallible<Self> {
        let servers = Servers::start(&Parts::find().await?, INSTANCE).await?;
        Ok(Self { programs: programs.clone(), servers, folder: tempfile::tempdir()? })
    }

    /// One process of each service on a fresh database and a fresh emulator.
    async fn cloud(&mut self) -> Fallible<Cloud> {
        self.servers.renew_emulator().await?;
        let options = CloudOptions { of_each: 1, is_proxied: false, settings: Vec::new() };
        Cloud::start(&self.programs, &self.servers, &options, 0, self.folder.path()).await
    }

    /// Gives the servers back, and keeps the logs of what failed.
    async fn finish<T>(self, measured: Fallible<T>) -> Fallible<T> {
        let removed = self.servers.remove().await;
        match measured {
            Ok(measured) => removed.map(|()| measured),
            Err(error) => {
                let kept: PathBuf = self.folder.keep();
                Err(format!("{error}; the logs are kept in {}", kept.display()).into())
            }
        }
    }

    /// What the reader must know of the servers.
    fn about_servers(&self) -> &'static str {
        if self.servers.are_own() {
            "Postgres and emulator were the run's own"
        } else {
            "others may have used Postgres and the emulator at the same time"
        }
    }
}
