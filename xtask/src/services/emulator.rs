//! Google's Pub/Sub emulator, from an installed Cloud SDK. It is a Java program and can't be had from a package registry.

mod correction;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use super::{
    Problem, http,
    place::Place,
    process::{self, Marked, Signal, Started},
    state::State,
};

const DEADLINE: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(5);
/// Any list of topics will do: that of a project which nobody uses.
const TOPICS: &str = "/v1/projects/parlance-ready/topics";

/// What tests are given.
pub(super) fn host(state: &State) -> String {
    format!("127.0.0.1:{}", state.port)
}

pub(super) fn state_file(place: &Place) -> PathBuf {
    place.state.join("emulator.state")
}

pub(super) fn log(place: &Place) -> PathBuf {
    place.state.join("emulator.log")
}

/// What runs, when it answers and is ours.
pub(super) fn running(place: &Place) -> Option<State> {
    let state = State::read(&state_file(place))?;
    (!marked(place).processes().is_empty() && http::answers(state.port, TOPICS, ANSWER)).then_some(state)
}

/// The state, and whether it was started now.
pub(super) fn up(place: &Place) -> Result<(State, bool), Problem> {
    if let Some(state) = running(place) {
        return Ok((state, false));
    }
    marked(place).stop(Signal::Terminate, STOP)?;
    let archive = Archive::find()?;
    let java = java()?;
    let port = process::port_as_before(State::read(&state_file(place)).map(|state| state.port))?;
    start(place, &java, &archive, port)?;
    let state = State { port, what: archive.what };
    state.write(&state_file(place))?;
    Ok((state, true))
}

/// Stops it; its topics are gone with it.
pub(super) fn down(place: &Place) -> Result<(), String> {
    marked(place).stop(Signal::Terminate, STOP)?;
    for file in [state_file(place), log(place)] {
        let _ = fs::remove_file(file);
    }
    Ok(())
}

/// The emulator ignores the property; it says whose process this is.
pub(super) fn marked(place: &Place) -> Marked {
    Marked { program: "java", argument: format!("-Dparlance.services={}", place.state.display()) }
}

fn start(place: &Place, java: &Path, archive: &Archive, port: u16) -> Result<(), Problem> {
    let marked = marked(place);
    let log = log(place);
    let arguments = correction::arguments(place, java, &archive.file, &archive.version)?;
    let mut command = Command::new(java);
    command.arg(&marked.argument).args(arguments);
    let started = Started::start(command.args(["--host=127.0.0.1", &format!("--port={port}")]), &log)?;
    let mut is_ready = false;
    process::wait_until(DEADLINE, || {
        is_ready = http::answers(port, TOPICS, ANSWER);
        is_ready || started.has_ended()
    });
    if is_ready {
        return Ok(());
    }
    let has_ended = started.has_ended();
    marked.stop(Signal::Terminate, STOP)?;
    let what = if has_ended { "ended at its start".to_owned() } else { format!("is not ready after {DEADLINE:?}") };
    Err(format!("the Pub/Sub emulator {what}; {}", process::tail(&log)).into())
}

/// The emulator's one file.
struct Archive {
    file: PathBuf,
    version: String,
    what: String,
}

impl Archive {
    fn find() -> Result<Self, Problem> {
        let found = known_roots().into_iter().find_map(|root| Self::of(&root));
        // Slow, so the last resort.
        let found = found.or_else(|| Self::of(&root_by_gcloud()?));
        found.ok_or_else(|| Problem::Missing {
            why: "no Cloud SDK with Google's Pub/Sub emulator was found".to_owned(),
            install: "gcloud components install pubsub-emulator, or with Google's Debian repository: \
                apt-get install google-cloud-cli-pubsub-emulator (https://cloud.google.com/sdk/docs/install)",
        })
    }

    /// The emulator of the Cloud SDK in a folder.
    fn of(root: &Path) -> Option<Self> {
        let files = fs::read_dir(root.join("platform/pubsub-emulator/lib")).ok()?;
        let mut archives: Vec<_> = files
            .filter_map(|file| {
                let file = file.ok()?.path();
                let version = version_in(file.file_name()?.to_str()?)?.to_owned();
                Some((version, file))
            })
            .collect();
        archives.sort();
        let (version, file) = archives.pop()?;
        let sdk = fs::read_to_string(root.join("VERSION")).unwrap_or_default();
        let corrected = if correction::is_needed(&version) { ", corrected" } else { "" };
        let what = format!("Pub/Sub emulator {version} (Cloud SDK {}{corrected})", sdk.trim());
        Some(Self { file, version, what })
    }
}

/// The version in `cloud-pubsub-emulator-0.8.20-all.jar`.
fn version_in(name: &str) -> Option<&str> {
    name.strip_prefix("cloud-pubsub-emulator-")?.strip_suffix("-all.jar")
}

fn known_roots() -> Vec<PathBuf> {
    let given = env::var_os("CLOUDSDK_ROOT_DIR").map(PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    // …/google-cloud-sdk/bin/gcloud, perhaps by a link.
    let on_path = env::split_paths(&path)
        .filter_map(|folder| Some(folder.join("gcloud").canonicalize().ok()?.parent()?.parent()?.to_owned()))
        .collect::<Vec<_>>();
    let at_home = env::home_dir().map(|home| home.join("google-cloud-sdk"));
    let usual =
        ["/usr/lib/google-cloud-sdk", "/usr/local/google-cloud-sdk", "/opt/google-cloud-sdk"].map(PathBuf::from);
    given.into_iter().chain(on_path).chain(at_home).chain(usual).collect()
}

fn root_by_gcloud() -> Option<PathBuf> {
    let output = Command::new("gcloud")
        .args(["info", "--format=value(installation.sdk_root)"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    Some(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())).filter(|root| root.is_dir())
}

/// A `java` that runs: on macOS there is one that only says how to install it.
fn java() -> Result<PathBuf, Problem> {
    let home = env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
    let found = home.into_iter().chain([PathBuf::from("java")]).find(|java| {
        let status = Command::new(java).arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    });
    found.ok_or_else(|| Problem::Missing {
        why: "the Pub/Sub emulator needs Java".to_owned(),
        install: "apt-get install default-jre-headless (macOS: brew install openjdk)",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_names_its_version() {
        assert_eq!(version_in("cloud-pubsub-emulator-0.8.20-all.jar"), Some("0.8.20"));
        assert_eq!(version_in("cloud-pubsub-emulator.jar"), None);
    }

    #[test]
    fn a_cloud_sdk_without_the_emulator_is_none() {
        let root = env::temp_dir().join(format!("parlance-sdk-{:x}", process::random()));
        fs::create_dir_all(root.join("platform/pubsub-emulator/lib")).unwrap();
        fs::write(root.join("VERSION"), "528.0.0\n").unwrap();
        assert!(Archive::of(&root).is_none());
        fs::write(root.join("platform/pubsub-emulator/lib/cloud-pubsub-emulator-0.8.20-all.jar"), "").unwrap();
        assert_eq!(Archive::of(&root).unwrap().what, "Pub/Sub emulator 0.8.20 (Cloud SDK 528.0.0, corrected)");
        fs::remove_dir_all(root).unwrap();
    }
}
