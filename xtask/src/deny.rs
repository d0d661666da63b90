//! What we depend on: licences, sources, banned crates and known vulnerabilities, by cargo-deny.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use crate::{
    lint::Verdict,
    workspace::{self, Workspace},
};

/// The one version that is installed when it is missing.
const VERSION: &str = "0.20.2";
/// A machine without a network must not wait for ever.
const FETCH_TIMEOUT: Duration = Duration::from_secs(60);

const DEPENDENCIES: &str = "dependencies (bans, licences, sources)";
const ADVISORIES: &str = "known vulnerabilities (advisories)";

pub(crate) fn checks(workspace: &Workspace) -> Vec<(&'static str, Verdict)> {
    let program = match find_or_install(workspace) {
        Ok(program) => program,
        Err(why) => return vec![(DEPENDENCIES, Verdict::Failed(why))],
    };
    let deny = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.current_dir(&workspace.root).args(["--log-level", "warn"]).args(arguments);
        command
    };
    // A duplicate's graph fills screens; `cargo tree --invert` shows it when it is wanted.
    let check = ["check", "--hide-inclusion-graph"];
    let dependencies = workspace::run(deny(&check).args(["bans", "licenses", "sources"])).into();
    let advisories = match workspace::run_within(&mut deny(&["fetch", "db"]), FETCH_TIMEOUT) {
        Ok(()) => workspace::run(deny(&check).arg("advisories")).into(),
        Err(why) if has_old_database() => {
            println!("the advisory database can't be fetched ({why}): an older copy is used");
            workspace::run(deny(&["--offline"]).args(check).arg("advisories")).into()
        }
        Err(why) => Verdict::Skipped(format!("there is no advisory database, and it can't be fetched ({why})")),
    };
    vec![(DEPENDENCIES, dependencies), (ADVISORIES, advisories)]
}

/// The program of our version: on the path, or in the target folder.
fn find_or_install(workspace: &Workspace) -> Result<PathBuf, String> {
    let tools = workspace.target.join("tools");
    let installed = tools.join("bin/cargo-deny");
    for candidate in [PathBuf::from("cargo-deny"), installed.clone()] {
        if is_our_version(&candidate) {
            return Ok(candidate);
        }
    }
    let mut install =
        workspace.cargo(&["install", "cargo-deny", "--locked", "--no-default-features", "--version", VERSION]);
    workspace::run(install.arg("--root").arg(&tools))?;
    Ok(installed)
}

fn is_our_version(program: &PathBuf) -> bool {
    let output = Command::new(program).arg("--version").stderr(Stdio::null()).output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim() == format!("cargo-deny {VERSION}"))
}

/// Where cargo-deny keeps what it has fetched.
fn has_old_database() -> bool {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let copies = home.and_then(|home| std::fs::read_dir(home.join("advisory-dbs")).ok());
    copies.into_iter().flatten().flatten().any(|copy| copy.path().join("crates").is_dir())
}
