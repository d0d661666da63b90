//! Where things are, and how commands are run.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::Outcome;

/// The checkout.
pub(crate) struct Workspace {
    /// Its root.
    pub(crate) root: PathBuf,
    /// Where cargo builds, whatever `CARGO_TARGET_DIR` or a configuration file says.
    pub(crate) target: PathBuf,
}

impl Workspace {
    pub(crate) fn find() -> Result<Self, String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("xtask has no parent folder")?.to_owned();
        let metadata = cargo(&root)
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("cargo metadata: {error}"))?;
        let text = String::from_utf8_lossy(&metadata.stdout);
        let target = string_field(&text, "target_directory").ok_or("cargo metadata names no target directory")?;
        Ok(Self { root, target: PathBuf::from(target) })
    }

    /// A cargo command in the root.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = cargo(&self.root);
        command.args(arguments);
        command
    }

    /// The compiler that cargo uses.
    pub(crate) fn rustc(&self) -> Command {
        let mut command = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        command.current_dir(&self.root);
        command
    }
}

fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

/// Runs a command to its end, its output shown.
pub(crate) fn run(command: &mut Command) -> Outcome {
    let shown = shown(command);
    finish(command, &shown)
}

/// The same, for a program whose own arguments (those after `--`) may hold a password: they are not shown.
pub(crate) fn run_discreetly(command: &mut Command) -> Outcome {
    let shown = shown(command);
    finish(command, shown.split(" -- ").next().unwrap_or_default())
}

fn finish(command: &mut Command, shown: &str) -> Outcome {
    eprintln!("+ {shown}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{shown}: {status}")),
        Err(error) => Err(format!("{shown}: {error}")),
    }
}

/// Runs a command that may wait for a network, its output shown; ends it when it takes too long.
pub(crate) fn run_within(command: &mut Command, deadline: Duration) -> Outcome {
    let shown = shown(command);
    eprintln!("+ {shown}");
    let failed = |error: std::io::Error| format!("{shown}: {error}");
    let mut child = command.spawn().map_err(failed)?;
    let since = Instant::now();
    loop {
        match child.try_wait().map_err(failed)? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(format!("{shown}: {status}")),
            None if since.elapsed() > deadline => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{shown}: no end within {} s", deadline.as_secs()));
            }
            None => thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// The command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// A string's value in JSON text, good enough for cargo's own and paths on Unix.
fn string_field<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = json.split_once(&format!("\"{name}\":\""))?;
    rest.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_takes_too_long_is_ended() {
        assert_eq!(run_within(&mut Command::new("true"), Duration::from_secs(60)), Ok(()));
        assert!(run_within(&mut Command::new("false"), Duration::from_secs(60)).is_err());
        let why = run_within(Command::new("sleep").arg("600"), Duration::from_millis(50)).unwrap_err();
        assert!(why.contains("no end within"), "{why}");
    }

    #[test]
    fn the_workspace_is_found() {
        let workspace = Workspace::find().unwrap();
        assert!(workspace.root.join("Cargo.lock").is_file());
        assert!(workspace.target.is_absolute());
    }
}
