//! The emulator's version 0.8.20 never closes a streaming pull whose client has gone (see docs/pubsub-emulator.md), so that
//! tests of killed workers would hang. One class in front of its jar corrects that.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::super::{Problem, place::Place};

/// The versions that were seen to need it, and to work with it.
const CORRECTED: [&str; 1] = ["0.8.20"];

const SOURCE: &str = include_str!("InternalStatus.java");

/// The program that the jar's manifest names.
const MAIN: &str = "com.google.cloud.pubsub.testing.v1.Main";

/// Whether this version is run with the correction.
pub(super) fn is_needed(version: &str) -> bool {
    CORRECTED.contains(&version)
}

/// What follows `java` and its options to run this version.
pub(super) fn arguments(place: &Place, java: &Path, archive: &Path, version: &str) -> Result<Vec<String>, Problem> {
    if !is_needed(version) {
        return Ok(vec!["-jar".to_owned(), archive.display().to_string()]);
    }
    let classes = compile(place, java, archive)?;
    let path = format!("{}:{}", classes.display(), archive.display());
    Ok(vec!["-cp".to_owned(), path, MAIN.to_owned()])
}

fn compile(place: &Place, java: &Path, archive: &Path) -> Result<PathBuf, Problem> {
    let folder = place.state.join("emulator-correction");
    let source = folder.join("InternalStatus.java");
    let failed = |error: std::io::Error| Problem::from(format!("{}: {error}", folder.display()));
    fs::create_dir_all(&folder).map_err(failed)?;
    fs::write(&source, SOURCE).map_err(failed)?;
    // Of the same kit as the `java` that runs it.
    let beside = java.with_file_name("javac");
    let compiler = if beside.is_file() { beside } else { PathBuf::from("javac") };
    let compiled = Command::new(compiler)
        .arg("-cp")
        .arg(archive)
        .arg("-d")
        .arg(&folder)
        .arg(&source)
        .stdin(Stdio::null())
        .output();
    match compiled {
        Ok(output) if output.status.success() => Ok(folder),
        Ok(output) => Err(format!("javac failed: {}", String::from_utf8_lossy(&output.stderr).trim()).into()),
        Err(_) => Err(Problem::Missing {
            why: "the Pub/Sub emulator needs a correction, and that a Java compiler".to_owned(),
            install: "apt-get install default-jdk-headless (macOS: brew install openjdk)",
        }),
    }
}
