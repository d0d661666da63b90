//! `cargo xtask sbom`: what a program is made of, as CycloneDX 1.6. The Dockerfile puts it into the image beside the program.
//!
//! The list is cargo's own: the crates that are compiled into the program, for this system, with the features that the
//! build gives them. It is not cut down to what the linker kept. Crates that only run during the build (build scripts,
//! procedural macros) are not in the program and not in the list. No time and no random number is written: the same sources
//! give the same file.

mod crates;
mod cyclonedx;
mod lock;

use std::{fs, path::PathBuf, process::Stdio};

use crate::{
    Outcome,
    workspace::{Workspace, shown},
};

const USAGE: &str = "usage: cargo xtask sbom --program NAME [--built-with 'NAME NAME…'] [--debian FILE] --out FILE\n\
     --debian: a line 'NAME VERSION ARCHITECTURE' for each package of the system that is in the image";

pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Outcome {
    let options = Options::read(arguments)?;
    let tree = tree(workspace, &options)?;
    let (program, crates) = crates::of(&options.program, &tree)?;
    let lock = workspace.root.join("Cargo.lock");
    let checksums =
        lock::checksums(&fs::read_to_string(&lock).map_err(|error| format!("{}: {error}", lock.display()))?);
    let debian = match &options.debian {
        Some(file) => fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?,
        None => String::new(),
    };
    let toolchain = output(workspace.rustc().arg("--version"))?;
    let text = cyclonedx::document(&program, &crates, &checksums, &debian, toolchain.trim())?;
    fs::write(&options.out, text).map_err(|error| format!("{}: {error}", options.out.display()))
}

struct Options {
    program: String,
    built_with: Vec<String>,
    debian: Option<PathBuf>,
    out: PathBuf,
}

impl Options {
    fn read(arguments: &[String]) -> Result<Self, String> {
        let (mut program, mut built_with, mut debian, mut out) = (None, Vec::new(), None, None);
        for pair in arguments.chunks(2) {
            let [name, value] = pair else { return Err(USAGE.to_owned()) };
            match name.as_str() {
                "--program" => program = Some(value.clone()),
                "--built-with" => built_with = value.split_whitespace().map(str::to_owned).collect(),
                "--debian" => debian = Some(PathBuf::from(value)),
                "--out" => out = Some(PathBuf::from(value)),
                _ => return Err(USAGE.to_owned()),
            }
        }
        let program = program.ok_or(USAGE)?;
        Ok(Self { program, built_with, debian, out: out.ok_or(USAGE)? })
    }
}

/// What cargo would compile into these programs, if they are built by one command: features of a crate are then those that
/// any of them asks for.
fn tree(workspace: &Workspace, options: &Options) -> Result<String, String> {
    let mut packages = options.built_with.clone();
    if !packages.contains(&options.program) {
        packages.push(options.program.clone());
    }
    let mut command = workspace.cargo(&["tree", "--locked", "--edges", "normal,no-proc-macro", "--prefix", "depth"]);
    command.args(["--format", crates::FORMAT]);
    for package in packages {
        command.args(["--package", &package]);
    }
    output(&mut command)
}

fn output(command: &mut std::process::Command) -> Result<String, String> {
    let ran = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = ran.map_err(|error| format!("{}: {error}", shown(command)))?;
    if !output.status.success() {
        return Err(format!("{}: {}", shown(command), output.status));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("{}: {error}", shown(command)))
}
