//! The speeds of the services apart: one process of each, Google's Pub/Sub emulator, Postgres with fsync on. No proxies
//! stand between.

mod first_token;
mod live;
mod services;
mod throughput;

use std::{path::PathBuf, sync::Arc};

use tempfile::TempDir;

use crate::{
    Fallible, Stop,
    cloud::{Cloud, CloudOptions, Parts, Postgres},
    figure::Figure,
    process::Programs,
};

/// Every figure is measured so many times; the median counts.
const RUNS: usize = 3;
/// The name of a Postgres of our own.
const INSTANCE: &str = "bench-speed";

/// Runs one of [`super::CLOUD_NAMES`].
pub(super) async fn measure(name: &str, programs: &Programs) -> Fallible<Vec<Figure>> {
    let rig = Rig::new(programs).await?;
    let measured = match name {
        "cloud-first-token" => first_token::measure(&rig).await,
        "cloud-throughput" => throughput::measure(&rig).await,
        "cloud-live" => live::measure(&rig).await,
        "cloud-services" => services::measure(&rig).await,
        _ => Err(Stop::from(format!("no benchmark {name:?}"))),
    };
    rig.finish(measured).await
}

/// What all of them start from.
struct Rig {
    programs: Programs,
    parts: Parts,
    postgres: Arc<Postgres>,
    folder: TempDir,
}

impl Rig {
    async fn new(programs: &Programs) -> Fallible<Self> {
        let parts = Parts::find().await?;
        let postgres = Arc::new(Postgres::start(&parts, INSTANCE).await?);
        Ok(Self { programs: programs.clone(), parts, postgres, folder: tempfile::tempdir()? })
    }

    /// One process of each service on a fresh database.
    async fn cloud(&self, settings: Vec<(&'static str, String)>) -> Fallible<Cloud> {
        let options = CloudOptions { of_each: 1, is_proxied: false, settings };
        Cloud::start(&self.programs, &self.parts, &self.postgres, &options, 0, self.folder.path()).await
    }

    /// Gives the database server back, and keeps the logs of what failed.
    async fn finish<T>(self, measured: Fallible<T>) -> Fallible<T> {
        let removed = self.postgres.remove().await;
        match measured {
            Ok(measured) => removed.map(|()| measured),
            Err(error) => {
                let kept: PathBuf = self.folder.keep();
                Err(format!("{error}; the logs are kept in {}", kept.display()).into())
            }
        }
    }

    /// What the reader must know of the server.
    fn about_postgres(&self) -> &'static str {
        if self.postgres.is_own() {
            "a Postgres of its own"
        } else {
            "a Postgres that others may have used at the same time"
        }
    }
}
