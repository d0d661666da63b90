//! The operators' commands on a world's data folder.

use serde_json::Value;

use super::{Process, World, process::Ended};

impl World {
    /// Runs a command to its end, beside a server or without one.
    pub async fn operate(&self, line: &str) -> Ended {
        let mut command = self.command();
        command.args(line.split_whitespace()).env("USER", "olga");
        Process::start(command).end().await
    }

    /// What it prints as JSON; it must have ended well.
    pub async fn operate_json(&self, line: &str) -> Value {
        let ended = self.operate(&format!("{line} --json")).await;
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
    }

    /// The letters that `dead-letters list` finds, once there are so many.
    pub async fn letters(&self, filter: &str, count: usize) -> Vec<Value> {
        super::eventually("the dead letters", async || {
            let listed = self.operate_json(&format!("dead-letters list {filter}")).await;
            listed.as_array().cloned().filter(|letters| letters.len() == count)
        })
        .await
    }
}
