//! `cargo xtask bench`: release builds, measured by `parlance-bench`.

use std::process::Command;

use crate::{
    Outcome,
    workspace::{self, Workspace},
};

/// Thousands of streams need as many open files, in the server and in its client; the shell raises the soft limit to what
/// is allowed.
const RAISE_FILES: &str = "ulimit -S -n \"$(ulimit -H -n)\"; exec \"$@\"";

pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Outcome {
    let packages = ["--package", "parlance", "--package", "parlance-mock-llm", "--package", "parlance-bench"];
    workspace::run(workspace.cargo(&["build", "--release"]).args(packages))?;
    let release = workspace.target.join("release");
    let mut command = Command::new("sh");
    command
        .current_dir(&workspace.root)
        .args(["-c", RAISE_FILES, "sh"])
        .arg(release.join("parlance-bench"))
        .env("PARLANCE_BIN", release.join("parlance"))
        .env("PARLANCE_MOCK_LLM_BIN", release.join("parlance-mock-llm"));
    match arguments.split_first() {
        Some((first, rest)) if first == "crash" => {
            command.arg("crash").args(rest);
        }
        _ => {
            let json = workspace.target.join("bench/speed.json");
            command.arg("speed").arg("--json").arg(&json).args(arguments);
        }
    }
    workspace::run(&mut command).map_err(|_| "the benchmark failed".to_owned())
}
