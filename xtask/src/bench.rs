//! `cargo xtask bench`: release builds, measured by `parlance-bench`; `cargo xtask bench load` loads a server that runs.

use std::{os::unix::process::CommandExt as _, process::Command};

use crate::{
    Outcome, services,
    test::SERVICES,
    workspace::{self, Workspace},
};

/// Thousands of streams need as many open files, in the server and in its client; the shell raises the soft limit to what
/// is allowed.
const RAISE_FILES: &str = "ulimit -S -n \"$(ulimit -H -n)\"; exec \"$@\"";

pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Outcome {
    if let Some(("load", rest)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return load(workspace, rest);
    }
    let is_cloud = arguments.iter().any(|name| is_cloud(name));
    let services = is_cloud.then(|| services::ensure(workspace, &services::Name::ALL)).transpose()?;
    if let Some(services) = &services {
        services.require(&services::Name::ALL)?;
    }
    let mut packages = vec!["parlance", "parlance-mock-llm", "parlance-bench"];
    if is_cloud {
        packages.extend(SERVICES);
    }
    let packages = packages.into_iter().flat_map(|package| ["--package", package]);
    workspace::run(workspace.cargo(&["build", "--release"]).args(packages))?;
    let release = workspace.target.join("release");
    let mut command = Command::new("sh");
    command
        .current_dir(&workspace.root)
        .args(["-c", RAISE_FILES, "sh"])
        .arg(release.join("parlance-bench"))
        .env("PARLANCE_BIN_DIR", &release)
        .env("PARLANCE_BIN", release.join("parlance"))
        .env("PARLANCE_MOCK_LLM_BIN", release.join("parlance-mock-llm"));
    if let Some(services) = &services {
        services.tell(&mut command);
    }
    match arguments.split_first() {
        Some((first, rest)) if ["crash", "crash-cloud", "cloud-crash"].contains(&first.as_str()) => {
            command.arg(first).args(rest);
        }
        _ => {
            let json = workspace.target.join("bench/speed.json");
            command.arg("speed").arg("--json").arg(&json).args(arguments);
        }
    }
    workspace::run(&mut command).map_err(|_| "the benchmark failed".to_owned())
}

/// Nothing is started here: what is loaded runs somewhere.
fn load(workspace: &Workspace, arguments: &[String]) -> Outcome {
    workspace::run(&mut workspace.cargo(&["build", "--release", "--package", "parlance-bench"]))?;
    let mut command = Command::new("sh");
    command.args(["-c", RAISE_FILES, "sh"]).arg(workspace.target.join("release/parlance-bench")).arg("load");
    if !arguments.iter().any(|argument| argument == "--out" || argument.starts_with("--out=")) {
        command.arg("--out").arg(workspace.target.join("bench"));
    }
    // In the place of this process, so that Ctrl-C is the load test's alone: it ends in good order by itself.
    Err(format!("the load test: {}", command.args(arguments).exec()))
}

/// Whether a benchmark runs the services apart, on Postgres and Pub/Sub's emulator.
fn is_cloud(name: &str) -> bool {
    name.starts_with("cloud") || name == "crash-cloud"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cloud_benchmarks_need_services() {
        assert!(["cloud", "cloud-first-token", "crash-cloud"].into_iter().all(is_cloud));
        assert!(!["crash", "first-token", "--turns"].into_iter().any(is_cloud));
    }
}
