//! Where the real parts are: what `cargo xtask` tells its programs.

use std::{env, net::SocketAddr, path::PathBuf};

use tokio::net::lookup_host;

use crate::Fallible;

const POSTGRES_URL: &str = "PARLANCE_TEST_POSTGRES_URL";
const EMULATOR_HOST: &str = "PARLANCE_TEST_PUBSUB_EMULATOR_HOST";
const XTASK: &str = "PARLANCE_XTASK";

/// The real parts.
#[derive(Clone, Debug)]
pub struct Parts {
    /// A superuser of a Postgres that others may use as well.
    pub postgres_url: String,
    /// Google's Pub/Sub emulator.
    pub emulator: SocketAddr,
    /// A program that starts a Postgres for us alone.
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
        let host = need(EMULATOR_HOST)?;
        let emulator = lookup_host(&host).await?.find(SocketAddr::is_ipv4);
        Ok(Self {
            postgres_url: need(POSTGRES_URL)?,
            emulator: emulator.ok_or_else(|| format!("{EMULATOR_HOST}={host} has no address"))?,
            xtask: value(XTASK).map(PathBuf::from),
        })
    }

    /// Variables that point at parts which are there already.
    pub(super) fn variables() -> [&'static str; 2] {
        [POSTGRES_URL, EMULATOR_HOST]
    }
}

fn value(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
