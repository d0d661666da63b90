//! A part of our own, started by `cargo xtask services`.

use std::{path::PathBuf, process::Stdio, time::Duration};

use tokio::{process::Command, time::timeout};

use super::Parts;
use crate::Fallible;

/// Starting and stopping a server on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// A part under a name of ours.
#[derive(Clone, Debug)]
pub(super) struct Own {
    pub(super) xtask: PathBuf,
    pub(super) instance: String,
    /// `postgres` or `emulator`.
    pub(super) part: &'static str,
    /// What it is found by.
    pub(super) variable: &'static str,
}

impl Own {
    /// Starts it unless it runs; gives what its variable says.
    pub(super) async fn up(&self) -> Fallible<String> {
        let said = self.services("up").await?;
        let (_, rest) = said.split_once(&format!("{}='", self.variable)).ok_or_else(|| format!("no {}", self.part))?;
        Ok(rest.split('\'').next().unwrap_or_default().to_owned())
    }

    /// Stops it for good, with its data.
    pub(super) async fn down(&self) -> Fallible<()> {
        self.services("down").await.map(drop)
    }

    async fn services(&self, command: &str) -> Fallible<String> {
        let mut xtask = Command::new(&self.xtask);
        xtask.args(["services", "--instance", &self.instance, command, self.part]);
        for variable in Parts::variables() {
            // Otherwise it would take what is there already.
            xtask.env_remove(variable);
        }
        let output = timeout(PATIENCE, xtask.stdin(Stdio::null()).output()).await??;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("cargo xtask services {command} {}: {said}", self.part).into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}
