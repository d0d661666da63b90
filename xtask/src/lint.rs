//! `cargo xtask lint`: every check runs, then each is named with what came of it.

use crate::{Outcome, deny, sqlx, workspace, workspace::Workspace};

/// What came of one check.
pub(crate) enum Verdict {
    Passed,
    /// It could not be made here; the reason is shown, and lint does not fail for it.
    Skipped(String),
    Failed(String),
}

impl From<Outcome> for Verdict {
    fn from(outcome: Outcome) -> Self {
        outcome.map_or_else(Self::Failed, |()| Self::Passed)
    }
}

impl From<Verdict> for Outcome {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Passed => Ok(()),
            Verdict::Skipped(why) | Verdict::Failed(why) => Err(why),
        }
    }
}

pub(crate) fn run(workspace: &Workspace) -> Outcome {
    let mut format = workspace.cargo(&["fmt", "--all", "--check"]);
    let mut clippy = workspace.cargo(&["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]);
    let mut checks =
        vec![("format", workspace::run(&mut format).into()), ("clippy", workspace::run(&mut clippy).into())];
    checks.extend(deny::checks(workspace));
    checks.push(("prepared queries (.sqlx)", sqlx::check(workspace)));

    println!();
    let mut failed = Vec::new();
    for (name, verdict) in &checks {
        match verdict {
            Verdict::Passed => println!("passed   {name}"),
            Verdict::Skipped(why) => println!("SKIPPED  {name}: {why}"),
            Verdict::Failed(why) => {
                println!("FAILED   {name}: {why}");
                failed.push(*name);
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("lint failed: {}", failed.join(", "))) }
}
