//! What the services stand on: Postgres and the emulator, of our own where they can be had.

use std::{net::SocketAddr, sync::Arc};

use super::{
    Parts, Postgres,
    own::Own,
    parts::{EMULATOR_HOST, address_of},
};
use crate::Fallible;

/// Both servers.
#[derive(Debug)]
pub struct Servers {
    /// The database server.
    pub postgres: Arc<Postgres>,
    /// Google's Pub/Sub emulator.
    pub emulator: SocketAddr,
    own_emulator: Option<Own>,
}

impl Servers {
    /// Of our own under this name, else those that others use as well.
    ///
    /// # Errors
    /// When one does not answer.
    pub async fn start(parts: &Parts, instance: &str) -> Fallible<Self> {
        let postgres = Arc::new(Postgres::start(parts, instance).await?);
        let own_emulator = parts.own(instance, "emulator", EMULATOR_HOST);
        let mut servers = Self { postgres, emulator: parts.emulator, own_emulator };
        servers.renew_emulator().await?;
        Ok(servers)
    }

    /// An emulator that knows nothing yet. It keeps a thread for every ordering key it has seen on every subscription, and is
    /// slower with each. One that others use stays as it is.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn renew_emulator(&mut self) -> Fallible<()> {
        if let Some(own) = &self.own_emulator {
            own.down().await?;
            self.emulator = address_of(&own.up().await?).await?;
        }
        Ok(())
    }

    /// Whether nobody else uses them.
    pub fn are_own(&self) -> bool {
        self.postgres.is_own() && self.own_emulator.is_some()
    }

    /// Stops those of our own, with their data.
    ///
    /// # Errors
    /// When one does not stop.
    pub async fn remove(&self) -> Fallible<()> {
        if let Some(own) = &self.own_emulator {
            own.down().await?;
        }
        self.postgres.remove().await
    }
}
