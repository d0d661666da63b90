//! Where the real parts are: what `cargo xtask` tells its programs.

use std::{env, net::SocketAddr, path::PathBuf};

use tokio::net::lookup_host;

use super::own::Own;
use crate::Fallible;

pub(super) const POSTGRES_URL: &str = "PARLANCE_TEST_POSTGRES_URL";
pub(super) const EMULATOR_HOST: &str = "PARLANCE_TEST_PUBSUB_EMULATOR_HOST";
const XTASK: &str = "PARLANCE_XTASK";

/// The real parts.
#[derive(Clone, Debug)]
pub struct Parts {
    /// A superuser of a Postgres that others may use as well.
    pub postgres_url: String,
    /// Google's Pub/Sub emulator.
    pub emulator: SocketAddr,
    /// A program that starts such parts for us alone.
    pub xtask: Option<PathBuf>,
}

impl Parts {
    /// The variables that would have to be set, and are not.
    pub fn missing() -> Vec<&'static str> {
        [POSTGRES_URL, EMULATOR_HOST].into_iter().filter(|name| value(name).is_none()).collect()
    }

    /// As the variables say.
    ///
    /// # Errors
    /// When one is missing.
    pub async fn find() -> Fallible<Self> {
        let need = |name: &str| value(name).ok_or_else(|| format!("needs {name} (cargo xtask services up)"));
        Ok(Self {
            postgres_url: need(POSTGRES_URL)?,
            emulator: address_of(&need(EMULATOR_HOST)?).await?,
            xtask: value(XTASK).map(PathBuf::from),
        })
    }

    /// A part for us alone, where it can be had.
    pub(super) fn own(&self, instance: &str, part: &'static str, variable: &'static str) -> Option<Own> {
        let xtask = self.xtask.clone()?;
        Some(Own { xtask, instance: instance.to_owned(), part, variable })
    }

    /// Variables that point at parts which are there already.
    pub(super) fn variables() -> [&'static str; 2] {
        [POSTGRES_URL, EMULATOR_HOST]
    }
}

pub(super) async fn address_of(host: &str) -> Fallible<SocketAddr> {
    let address = lookup_host(host).await?.find(SocketAddr::is_ipv4);
    Ok(address.ok_or_else(|| format!("{host} has no address"))?)
}

fn value(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
