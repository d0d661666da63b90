//! Puts packages into a folder named after what locks them. A mark says that it is complete: without it, an installation was
//! interrupted and is made anew.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{Outcome, hash::fnv1a, workspace};

const TIMEOUT: Duration = Duration::from_secs(600);
const COMPLETE: &str = "complete";
/// Old installations stay for a checkout of another branch; no more than these.
const KEPT: usize = 4;

/// `node_modules`, as `package-lock.json` has it.
pub(crate) fn node_modules(npm: &Path, sources: &Path, folder: &Path) -> Result<PathBuf, String> {
    const FILES: [&str; 2] = ["package.json", "package-lock.json"];
    let place = once(folder, "node", &locked_by(sources, &FILES, "")?, |place| {
        for file in FILES {
            fs::copy(sources.join(file), place.join(file)).map_err(|error| format!("{file}: {error}"))?;
        }
        let mut npm = Command::new(npm);
        // No package needs a script of its own to be installed.
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(place);
        workspace::run_within(npm.stdout(std::io::stderr()), TIMEOUT)
    })?;
    Ok(place.join("node_modules"))
}

/// A virtual environment with what `requirements.txt` has, and nothing else.
pub(crate) fn venv(python: &Path, version: &str, sources: &Path, folder: &Path) -> Result<PathBuf, String> {
    const FILES: [&str; 1] = ["requirements.txt"];
    let place = once(folder, "python", &locked_by(sources, &FILES, version)?, |place| {
        let venv = place.join("venv");
        workspace::run_within(Command::new(python).args(["-m", "venv"]).arg(&venv), TIMEOUT)?;
        let pip = |arguments: &[&str]| {
            let mut pip = Command::new(venv.join("bin/python3"));
            pip.args(["-m", "pip", "--disable-pip-version-check", "--quiet"]).args(arguments).stdout(std::io::stderr());
            pip
        };
        let mut install = pip(&["install", "--no-deps", "--only-binary", ":all:", "--requirement"]);
        workspace::run_within(install.arg(sources.join("requirements.txt")), TIMEOUT)?;
        // A need that the list forgot is noticed here, and not by whoever has another version of it.
        workspace::run_within(&mut pip(&["check"]), TIMEOUT)
    })?;
    Ok(place.join("venv"))
}

/// What the files say, and what else the packages are built for.
fn locked_by(sources: &Path, files: &[&str], other: &str) -> Result<Vec<u8>, String> {
    let mut all = other.as_bytes().to_vec();
    for file in files {
        let path = sources.join(file);
        all.extend(fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?);
    }
    Ok(all)
}

/// The folder for `locked_by`, filled by `install` unless it is complete.
fn once(folder: &Path, kind: &str, locked_by: &[u8], install: impl Fn(&Path) -> Outcome) -> Result<PathBuf, String> {
    // An installation knows its own path: one that was moved is another.
    let key = fnv1a(&[folder.as_os_str().as_encoded_bytes(), locked_by].concat());
    let place = folder.join(format!("{kind}-{key:016x}"));
    let mark = place.join(COMPLETE);
    if !mark.is_file() {
        let failed = |error: std::io::Error| format!("{}: {error}", place.display());
        if place.exists() {
            fs::remove_dir_all(&place).map_err(failed)?;
        }
        fs::create_dir_all(&place).map_err(failed)?;
        install(&place)?;
        fs::write(&mark, "").map_err(failed)?;
        forget_old(folder, kind);
    }
    Ok(place)
}

/// A target folder lives for years.
fn forget_old(folder: &Path, kind: &str) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&format!("{kind}-")));
    let mut ours: Vec<_> =
        ours.filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()))).collect();
    ours.sort_by_key(|(made, _)| std::cmp::Reverse(*made));
    for (_, old) in ours.into_iter().skip(KEPT) {
        let _ = fs::remove_dir_all(old);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn what_was_interrupted_is_made_anew_and_what_is_complete_stays() {
        let folder = std::env::temp_dir().join(format!("parlance-clients-{:x}", crate::services::random()));
        let (made, works) = (Cell::new(0), Cell::new(false));
        let install = |place: &Path| {
            made.set(made.get() + 1);
            assert_eq!(fs::read_dir(place).unwrap().count(), 0, "it begins with nothing");
            fs::write(place.join("half"), "").unwrap();
            if works.get() { Ok(()) } else { Err("cut off".to_owned()) }
        };
        let once = |locked_by: &str| once(&folder, "node", locked_by.as_bytes(), install);
        assert_eq!(once("1"), Err("cut off".to_owned()));
        works.set(true);
        let place = once("1").unwrap();
        assert_eq!((once("1"), made.get()), (Ok(place.clone()), 2));
        assert_ne!(once("2").unwrap(), place);
        for number in 3..20 {
            once(&number.to_string()).unwrap();
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), KEPT);
        fs::remove_dir_all(folder).unwrap();
    }
}
