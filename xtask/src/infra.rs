//! `cargo xtask infra`: the tests of what is deployed and how, with the tools of `infra/requirements.txt` and the programs as they
//! are built here.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::Command,
};

use crate::{
    Outcome,
    clients::{self, install},
    services::{self, Services},
    test,
    workspace::{self, Workspace},
};

/// The packages that the example of a frontend is checked with.
const NODE_MODULES: &str = "INFRA_NODE_MODULES";
const EXAMPLE: &str = "infra/examples/nextjs";

/// What a machine brings itself.
const TOOLS: [(&str, &str); 2] = [
    ("terraform", "developer.hashicorp.com/terraform/install (1.11 or later)"),
    ("npm", "apt-get install nodejs npm, or nodejs.org (20 or later)"),
];

/// Starts what the tests need, then runs them.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Outcome {
    let services = services::ensure(workspace, &services::Name::ALL)?;
    test::build(workspace)?;
    run_with(workspace, &services, arguments)
}

/// Runs the tests. The programs are built already. What is missing is an error in CI, and said elsewhere.
pub(crate) fn run_with(workspace: &Workspace, services: &Services, arguments: &[String]) -> Outcome {
    let missing: Vec<_> = TOOLS.iter().filter(|(name, _)| clients::found(name).is_none()).collect();
    for (name, install) in &missing {
        eprintln!("infra: there is no {name}: {install}");
    }
    if !missing.is_empty() && services::is_ci() {
        return Err("infra: tools are missing".to_owned());
    }
    let folder = workspace.target.join("infra");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let lock = File::options().create(true).truncate(false).write(true).open(folder.join("install.lock"));
    let lock = lock.map_err(|error| format!("install.lock: {error}"))?;
    lock.lock().map_err(|error| format!("install.lock: {error}"))?;
    let (python, version) = match clients::interpreter() {
        Ok(found) => found,
        Err(problem) if services::is_ci() => return Err(format!("infra: {problem}")),
        Err(problem) => {
            eprintln!("infra: NOT RUN: {problem}");
            return Ok(());
        }
    };
    let venv = install::venv(&python, &version, &workspace.root.join("infra"), &folder)?;
    let modules = node_modules(workspace, &folder)?;
    drop(lock);

    let programs = workspace.target.join("debug");
    let mut pytest = Command::new(venv.join("bin/python3"));
    pytest
        .current_dir(&workspace.root)
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "infra/tests"])
        .args(arguments)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("INFRA_WORK_DIR", &folder)
        .env("CARGO_TARGET_DIR", &workspace.target)
        .env("PARLANCE_BIN_DIR", &programs)
        .env("PARLANCE_BIN", programs.join("parlance"))
        .env("PARLANCE_MOCK_LLM_BIN", programs.join("parlance-mock-llm"))
        .envs(modules.map(|modules| (NODE_MODULES, modules)));
    services.tell(&mut pytest);
    workspace::run(&mut pytest)
}

/// Installed once for each lock file, if there is an npm.
fn node_modules(workspace: &Workspace, folder: &std::path::Path) -> Result<Option<PathBuf>, String> {
    let sources = workspace.root.join(EXAMPLE);
    match clients::found("npm") {
        Some(npm) if sources.join("package-lock.json").is_file() => {
            install::node_modules(&npm, &sources, folder).map(Some)
        }
        _ => Ok(None),
    }
}
