//! An operator who replays a session: whatever is done must stay as it is.

use std::{
    path::PathBuf,
    process::{Output, Stdio},
    sync::Arc,
    time::Duration,
};

use tokio::{process::Command, time::timeout};

use crate::{
    Fallible,
    cloud::Cloud,
    crash::findings::{Finding, Findings, Flaw},
};

const REPLAY: Duration = Duration::from_secs(60);
const WHY_LETTERS: usize = 120;

/// What is replayed. Not by seek: the emulator can't, on subscriptions with ordering.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// The requests of a session, from the durable record.
    Session(String),
    /// The latest requests of all sessions, from the durable record.
    Latest,
}

/// Replays. It may fail while Postgres is down; it must never hang.
pub(super) async fn replay(cloud: Arc<Cloud>, findings: Arc<Findings>, parlance: PathBuf, what: What) -> Fallible<()> {
    let (arguments, name) = match &what {
        What::Session(session) => (vec!["--session", session], "of a session"),
        What::Latest => (vec!["--since", "20s"], "of the last 20 s"),
    };
    let database = &cloud.database;
    let mut command = Command::new(parlance);
    command
        .arg("replay")
        .args(arguments)
        .args(["--yes", "--json"])
        .env_clear()
        .env("DATABASE_URL", database.url_at(database.server.address())?)
        .env("PUBSUB_EMULATOR_HOST", cloud.emulator.address().to_string())
        .env("PUBSUB_PROJECT_ID", cloud.emulator.project())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    match timeout(REPLAY, command.output()).await {
        Ok(output) => {
            let output = output?;
            findings.count(match output.status.success() {
                true => format!("replays {name} (parlance replay)"),
                false => format!("replays {name} that failed: {}", why(&output)),
            });
        }
        Err(_) => findings.add(Finding::new(Flaw::Hanging, format!("parlance replay: {what:?}"))),
    }
    Ok(())
}

/// The first error that was told, without what differs from one to the next.
fn why(output: &Output) -> String {
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let errors = said.split("\"error\": \"").skip(1);
    let told = errors.filter_map(|rest| rest.split('"').next()).next().or_else(|| complained.lines().last());
    told.unwrap_or_default().chars().filter(|c| !c.is_ascii_digit()).take(WHY_LETTERS).collect()
}
