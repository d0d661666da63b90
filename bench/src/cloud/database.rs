//! A database of one run.

use std::{net::SocketAddr, process::Stdio, sync::Arc, time::Duration};

use tokio::{process::Command, time::timeout};

use super::Postgres;
use crate::{Fallible, process::Programs};

const MIGRATE: Duration = Duration::from_secs(60);

/// The database; it is left behind unless [`Database::drop`] is called.
#[derive(Clone, Debug)]
pub struct Database {
    /// The server that holds it.
    pub server: Arc<Postgres>,
    name: String,
}

impl Database {
    /// Makes a database and its tables.
    ///
    /// # Errors
    /// When the server or `parlance migrate` refuses.
    pub async fn make(server: Arc<Postgres>, programs: &Programs) -> Fallible<Self> {
        let name = format!("bench_{:016x}", fastrand::u64(..));
        server.run(format!("CREATE DATABASE {name}")).await?;
        let database = Self { server, name };
        let mut migrate = Command::new(&programs.server);
        let url = database.url_at(database.server.address())?;
        migrate.args(["migrate", "init"]).env_clear().env("DATABASE_URL", url).stdin(Stdio::null()).kill_on_drop(true);
        let output = timeout(MIGRATE, migrate.output()).await??;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("parlance migrate init: {}: {said}", output.status).into());
        }
        Ok(database)
    }

    /// Its URL by way of `address`.
    ///
    /// # Errors
    /// When the server's URL takes no such address.
    pub fn url_at(&self, address: SocketAddr) -> Fallible<String> {
        self.server.url_of(&self.name, address)
    }

    /// Removes it, whoever is connected.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn drop(&self) -> Fallible<()> {
        self.server.run(format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name)).await
    }
}
