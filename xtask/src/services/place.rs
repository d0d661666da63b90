//! Where an instance of the services keeps what it has, and as whom Postgres runs.

use std::{
    fs,
    os::unix::{
        fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::Command,
};

use crate::{hash::fnv1a, workspace::Workspace};

/// A user without rights.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Account {
    user: u32,
    group: u32,
}

/// The folders of one instance.
pub(super) struct Place {
    /// In the target folder: what is known about each part, and its log.
    pub(super) state: PathBuf,
    /// What other users must reach, under a short path: a socket's path has 107 bytes at most, and the target folder may be
    /// in a home that is closed to others.
    pub(super) home: PathBuf,
    /// Programs that were installed for us.
    pub(super) tools: PathBuf,
    /// Postgres refuses to be root; then it runs as this user.
    pub(super) account: Option<Account>,
    /// A test that asked for an instance wants one of its own, whatever is there already.
    pub(super) is_instance: bool,
}

impl Place {
    pub(super) fn new(workspace: &Workspace, instance: Option<&str>) -> Result<Self, String> {
        let services = workspace.target.join("services");
        let state = instance.map_or_else(|| services.clone(), |name| services.join(name));
        fs::create_dir_all(&state).map_err(|error| format!("{}: {error}", state.display()))?;
        // A name of the target folder, whichever way it was reached.
        let state = state.canonicalize().map_err(|error| format!("{}: {error}", state.display()))?;
        // Not a folder in memory, as the one for temporary files often is: fsync must mean something.
        let disk = Path::new("/var/tmp");
        let disk = if disk.is_dir() { disk.to_owned() } else { std::env::temp_dir() };
        let home = disk.join(format!("parlance-{:016x}", fnv1a(state.as_os_str().as_encoded_bytes())));
        Ok(Self {
            state,
            home,
            tools: workspace.target.join("tools"),
            account: Account::for_postgres()?,
            is_instance: instance.is_some(),
        })
    }

    /// Makes the home, which must be ours when it is there: others may write to the folder it is in.
    pub(super) fn make_home(&self) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("{}: {error}", self.home.display());
        if !self.home.exists() {
            fs::DirBuilder::new().mode(0o755).create(&self.home).map_err(failed)?;
        }
        let (home, state) = (fs::symlink_metadata(&self.home).map_err(failed)?, fs::metadata(&self.state));
        if !home.is_dir() || state.is_ok_and(|state| state.uid() != home.uid()) {
            return Err(format!("{} belongs to somebody else: remove it", self.home.display()));
        }
        fs::set_permissions(&self.home, fs::Permissions::from_mode(0o755)).map_err(failed)
    }

    /// An empty folder of the user that Postgres runs as.
    pub(super) fn make_folder(&self, name: &str, mode: u32) -> Result<PathBuf, String> {
        let folder = self.home.join(name);
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(failed)?;
        }
        fs::DirBuilder::new().mode(mode).create(&folder).map_err(failed)?;
        self.give(&folder)?;
        Ok(folder)
    }

    /// Gives a file or folder to the user that Postgres runs as.
    pub(super) fn give(&self, path: &Path) -> Result<(), String> {
        let Some(Account { user, group }) = self.account else { return Ok(()) };
        let given = std::os::unix::fs::chown(path, Some(user), Some(group));
        given.map_err(|error| format!("{}: {error}", path.display()))
    }

    /// A command as the user that Postgres runs as.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        // Our own working folder may be closed to that user.
        command.current_dir(&self.home).env_remove("PGDATA").env("LC_ALL", "C");
        if let Some(Account { user, group }) = self.account {
            command.uid(user).gid(group);
        }
        command
    }

    /// Whether the user that Postgres runs as can get to a path.
    pub(super) fn reaches(&self, path: &Path) -> bool {
        let is_open = |folder: &Path| fs::metadata(folder).is_ok_and(|folder| folder.mode() & 0o001 != 0);
        self.account.is_none() || path.ancestors().all(is_open)
    }
}

impl Account {
    /// Nobody, unless this is root.
    fn for_postgres() -> Result<Option<Self>, String> {
        if id(&["-u"])? != 0 {
            return Ok(None);
        }
        let accounts = ["postgres", "nobody"].into_iter().filter_map(|name| {
            let (user, group) = (id(&["-u", name]).ok()?, id(&["-g", name]).ok()?);
            (user != 0).then_some(Self { user, group })
        });
        let account = accounts.into_iter().next();
        account
            .map(Some)
            .ok_or_else(|| "Postgres can't run as root, and there is no user `postgres` or `nobody`".into())
    }
}

fn id(arguments: &[&str]) -> Result<u32, String> {
    let output = Command::new("id").args(arguments).output().map_err(|error| format!("id: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map_err(|_| format!("id {}: {text}", arguments.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_and_instances_are_apart_and_their_sockets_short() {
        let scratch = std::env::temp_dir().join(format!("parlance-place-{:x}", super::super::process::random()));
        let clone = |name: &str| Workspace { root: scratch.join(name), target: scratch.join(name).join("target") };
        let place = |name, instance| Place::new(&clone(name), instance).unwrap().home;
        let homes = [place("one", None), place("two", None), place("one", Some("faults"))];
        assert_eq!(homes[0], place("one", None), "found again");
        assert!(homes[0] != homes[1] && homes[0] != homes[2]);
        assert!(homes[0].join("socket/.s.PGSQL.20000").as_os_str().len() < 100);
        fs::remove_dir_all(scratch).unwrap();
    }
}
