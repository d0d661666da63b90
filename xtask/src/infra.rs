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
    match run_with(workspace, &services, arguments)? {
        Infra::Passed => Ok(()),
        Infra::NotRun(why) => Err(why),
    }
}

/// What came of the tests.
pub(crate) enum Infra {
    Passed,
    /// Something is missing here. In CI that is an error.
    NotRun(String),
}

/// Runs the tests. The programs are built already.
pub(crate) fn run_with(workspace: &Workspace, services: &Services, arguments: &[String]) -> Result<Infra, String> {
    let (venv, modules, folder) = match install(workspace) {
        Ok(installed) => installed,
        Err(why) if services::is_ci() => return Err(why),
        Err(why) => return Ok(Infra::NotRun(why)),
    };
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
    workspace::run(&mut pytest).map(|()| Infra::Passed)
}

/// The tools of `infra/requirements.txt`, the example's packages if there are any, and the folder that they are in.
fn install(workspace: &Workspace) -> Result<(PathBuf, Option<PathBuf>, PathBuf), String> {
    if let Some((name, install)) = TOOLS.iter().find(|(name, _)| clients::found(name).is_none()) {
        return Err(format!("there is no {name}: {install}"));
    }
    let folder = workspace.target.join("infra");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let lock = File::options().create(true).truncate(false).write(true).open(folder.join("install.lock"));
    let lock = lock.map_err(|error| format!("install.lock: {error}"))?;
    lock.lock().map_err(|error| format!("install.lock: {error}"))?;
    let (python, version) = clients::interpreter().map_err(|problem| problem.to_string())?;
    let venv = install::venv(&python, &version, &workspace.root.join("infra"), &folder)?;
    let modules = node_modules(workspace, &folder)?;
    Ok((venv, modules, folder))
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
