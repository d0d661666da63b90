//! `cargo xtask clients`: the clients people already have, at the versions of `clients/`, installed once into the target
//! folder: one installation for each set of lock files, so that another version is never mixed in.

pub(crate) mod install;

use std::{
    env,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    Outcome,
    services::{self, Part, Problem},
    workspace::Workspace,
};

/// The `node` that runs the scripts in `clients/node` and `clients/browser`.
const NODE: &str = "PARLANCE_TEST_NODE";
/// The installed packages.
const NODE_MODULES: &str = "PARLANCE_TEST_NODE_MODULES";
/// A Python that has the packages of `clients/requirements.txt`; their programs are beside it.
const PYTHON: &str = "PARLANCE_TEST_PYTHON";
/// A Chromium that is driven without a window.
const CHROMIUM: &str = "PARLANCE_TEST_CHROMIUM";

/// What is asked for, in the order of [`Clients::parts`].
pub(crate) const NAMES: [&str; 3] = ["node", "python", "browser"];
const OLDEST_NODE: u32 = 20;
const OLDEST_PYTHON: (u32, u32) = (3, 11);
const CHROMIUMS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// The clients, each ready or with what is wrong.
pub(crate) struct Clients {
    pub(crate) parts: [Result<Part, Problem>; 3],
}

/// Prints the variables that tests read, for `eval "$(cargo xtask clients)"`.
pub(crate) fn run(workspace: &Workspace) -> Outcome {
    let clients = ensure(workspace)?;
    for (name, part) in clients.parts() {
        if let Ok(part) = part {
            eprintln!("{name:9} {}", part.what);
        }
    }
    let lines: String = clients.variables().map(|(name, value)| format!("export {name}='{value}'\n")).collect();
    let _ = std::io::stdout().write_all(lines.as_bytes());
    clients.require()
}

/// Installs what is not installed. With `CI=true` everything must be there.
pub(crate) fn ensure(workspace: &Workspace) -> Result<Clients, String> {
    let folder = workspace.target.join("clients");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    // One installs, others wait; the system gives the lock back when its holder dies.
    let lock = File::options().create(true).truncate(false).write(true).open(folder.join("install.lock"));
    let lock = lock.map_err(|error| format!("install.lock: {error}"))?;
    lock.lock().map_err(|error| format!("install.lock: {error}"))?;
    let sources = workspace.root.join("clients");
    let clients = Clients { parts: [node(&sources, &folder), python(&sources, &folder), browser()] };
    if services::is_ci() {
        clients.require()?;
    }
    Ok(clients)
}

impl Clients {
    /// All, with their names.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (&'static str, &Result<Part, Problem>)> {
        NAMES.into_iter().zip(&self.parts)
    }

    /// Tells a program where they are.
    pub(crate) fn tell(&self, command: &mut Command) {
        command.envs(self.variables());
    }

    fn variables(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let parts = self.parts.iter().filter_map(|part| part.as_ref().ok());
        parts.flat_map(|part| part.variables.iter().map(|(name, value)| (*name, value)))
    }

    fn require(&self) -> Outcome {
        let problems = self.parts().filter_map(|(name, part)| Some(format!("{name}: {}", part.as_ref().err()?)));
        let problems: Vec<_> = problems.collect();
        if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
    }
}

fn missing(why: impl Into<String>, install: &'static str) -> Problem {
    Problem::Missing { why: why.into(), install }
}

fn node(sources: &Path, folder: &Path) -> Result<Part, Problem> {
    const INSTALL: &str = "apt-get install nodejs npm, or nodejs.org (20 or later)";
    let node = found("node").ok_or_else(|| missing("there is no node", INSTALL))?;
    let version = said(&node, &["--version"]).map_err(|why| missing(why, INSTALL))?;
    let version = version.trim_start_matches('v');
    if numbers(version).next().is_none_or(|major| major < OLDEST_NODE) {
        return Err(missing(format!("node is {version}, and its packages need {OLDEST_NODE}"), INSTALL));
    }
    let npm = found("npm").ok_or_else(|| missing("there is no npm", INSTALL))?;
    let modules = install::node_modules(&npm, sources, folder)?;
    let what = format!("{} (npm), Node {version}", pinned_by_npm(sources)?);
    let text = |path: &Path| path.to_string_lossy().into_owned();
    Ok(Part::of(text(&modules), what, vec![(NODE, text(&node)), (NODE_MODULES, text(&modules))]))
}

fn python(sources: &Path, folder: &Path) -> Result<Part, Problem> {
    let (python, version) = interpreter()?;
    let venv = install::venv(&python, &version, sources, folder)?;
    let what = format!("{} (PyPI), Python {version}", pinned_by_pip(sources)?);
    let program = venv.join("bin/python3").to_string_lossy().into_owned();
    Ok(Part::of(program.clone(), what, vec![(PYTHON, program)]))
}

/// A Python that can make a virtual environment, and its version.
pub(crate) fn interpreter() -> Result<(PathBuf, String), Problem> {
    const INSTALL: &str = "apt-get install python3-venv (3.11 or later)";
    let python = found("python3").ok_or_else(|| missing("there is no python3", INSTALL))?;
    let version = said(&python, &["--version"]).map_err(|why| missing(why, INSTALL))?;
    let version = version.trim_start_matches("Python ");
    let mut parts = numbers(version);
    if parts.next().zip(parts.next()).is_none_or(|version| version < OLDEST_PYTHON) {
        return Err(missing(format!("python3 is {version}"), INSTALL));
    }
    said(&python, &["-c", "import ensurepip, venv"]).map_err(|_| missing("python3 can't make a venv", INSTALL))?;
    Ok((python, version.to_owned()))
}

fn browser() -> Result<Part, Problem> {
    const INSTALL: &str = "apt-get install chromium";
    let given = env::var_os(CHROMIUM).filter(|path| !path.is_empty()).map(PathBuf::from);
    let chromium = given.or_else(|| CHROMIUMS.into_iter().find_map(found));
    let chromium = chromium.ok_or_else(|| missing("there is no Chromium", INSTALL))?;
    let what = said(&chromium, &["--version"]).map_err(|why| missing(why, INSTALL))?;
    let path = chromium.to_string_lossy().into_owned();
    Ok(Part::of(path.clone(), what, vec![(CHROMIUM, path)]))
}

/// The packages that `package.json` names, with their versions.
fn pinned_by_npm(sources: &Path) -> Result<String, String> {
    let text = read(&sources.join("package.json"))?;
    let (_, rest) = text.split_once("\"dependencies\"").ok_or("package.json names no dependencies")?;
    let words: Vec<_> = rest.split('}').next().unwrap_or_default().split('"').skip(1).step_by(2).collect();
    let pairs = words.chunks_exact(2).map(|pair| format!("{} {}", pair[0], pair[1]));
    Ok(pairs.collect::<Vec<_>>().join(", "))
}

/// Those that are named first, as what is tested: up to the second comment.
fn pinned_by_pip(sources: &Path) -> Result<String, String> {
    let text = read(&sources.join("requirements.txt"))?;
    let lines = text.lines().skip_while(|line| *line != "# The clients").skip(1);
    let lines = lines.take_while(|line| !line.starts_with('#')).map(|line| line.replace("==", " "));
    Ok(lines.collect::<Vec<_>>().join(", "))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The first program of this name on the path.
pub(crate) fn found(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// What a program writes, when it ends well.
fn said(program: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() { Ok(text) } else { Err(format!("{}: {}", program.display(), output.status)) }
}

fn numbers(version: &str) -> impl Iterator<Item = u32> {
    version.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("clients")
    }

    #[test]
    fn what_is_tested_is_named_with_its_version() {
        let npm = pinned_by_npm(&sources()).unwrap();
        assert!(
            npm.contains("@ai-sdk/react ") && npm.contains("openai ") && npm.contains("eventsource-parser "),
            "{npm}"
        );
        let pip = pinned_by_pip(&sources()).unwrap();
        assert!(pip.starts_with("openai ") && pip.contains("schemathesis ") && !pip.contains("anyio"), "{pip}");
    }

    #[test]
    fn everything_is_pinned_and_comes_from_wherever_the_machine_is_told() {
        let requirements = read(&sources().join("requirements.txt")).unwrap();
        for line in requirements.lines().filter(|line| !line.starts_with('#')) {
            assert!(
                line.split_once("==").is_some_and(|(name, version)| !name.is_empty() && !version.contains('*')),
                "{line}"
            );
        }
        let lock = read(&sources().join("package-lock.json")).unwrap();
        assert!(!lock.contains("\"resolved\"") && lock.contains("\"integrity\""), "the lock names a registry");
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(numbers("20.20.2").collect::<Vec<_>>(), [20, 20, 2]);
        assert!((3, 9) < OLDEST_PYTHON && (3, 12) > OLDEST_PYTHON);
        assert_eq!(numbers("none").next(), None);
    }
}
