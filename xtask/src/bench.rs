//! `cargo xtask bench`: release builds, measured by `parlance-bench`.

use std::process::Command;

use crate::{
    Outcome, services,
    test::SERVICES,
    workspace::{self, Workspace},
};

/// Thousands of streams need as many open files, in the server and in its client; the shell raises the soft limit to what
/// is allowed.
const RAISE_FILES: &str = "ulimit -S -n \"$(ulimit -H -n)\"; exec \"$@\"";

pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Outcome {
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
