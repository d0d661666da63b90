//! `parlance replay`: stored requests are published again from the durable record, or the bus delivers again what it keeps.
//!
//! Nothing that is done is done again: completed and cancelled tasks are left alone here, and where the record is behind,
//! llm-worker's claim finds that the task has ended.
//!
//! With `--json` it prints one object:
//! - `{action: "replay", dry_run, replay: {id, by, at}, matched, done, failed, redone, errors, tasks: [{task_id, session_id, status,
//!   result, error}]}`; `result` is `done` (completed or cancelled: left alone), `failed` (left alone without `--failed`), `would
//!   be redone`, `redone`, or `error` (could not be published);
//! - with `--seek`, `{action: "seek", dry_run, since, errors, subscriptions: [{subscription, result, waiting, error}]}`; `result` is
//!   `would be set`, `set` or `error`, `waiting` null where the bus does not count.
//!
//! Exit codes: 0 all done, 1 something failed, 2 wrong usage.

mod report;
mod republish;
mod seek;

use std::process::ExitCode;

use clap::Args;
use parlance_shared::{SessionId, TaskId, port::bus::Subscription, settings::Settings};

use crate::{
    dead_letters,
    operator::{
        self, Operator,
        exit::{Stop, code},
        when::When,
    },
};

/// Which requests are sent again, and whether they are.
#[derive(Clone, Debug, Args)]
pub struct Replay {
    /// Only those accepted at this time or later: 2026-11-20T08:30:00Z, or an age such as 15m, 2h or 3d.
    #[arg(long, value_name = "TIME")]
    since: Option<When>,
    /// Only those accepted before this time.
    #[arg(long, value_name = "TIME", conflicts_with = "seek")]
    until: Option<When>,
    /// Only those of this session.
    #[arg(long, value_name = "ID", conflicts_with = "seek")]
    session: Option<SessionId>,
    /// Only the one of this task.
    #[arg(long, value_name = "ID", conflicts_with = "seek")]
    task: Option<TaskId>,
    /// All of them, without any condition.
    #[arg(long, conflicts_with = "seek")]
    all: bool,
    /// Failed tasks, too: they are answered anew.
    #[arg(long, conflicts_with = "seek")]
    failed: bool,
    /// Not from the record: set the bus back to --since, so that it delivers again what it keeps since then, also what never
    /// reached the record. These deliveries carry no mark.
    #[arg(long, requires = "since")]
    seek: bool,
    /// With --seek: only this subscription; may be repeated. All of them when absent.
    #[arg(long = "subscription", value_name = "NAME", value_parser = dead_letters::subscription, requires = "seek")]
    subscriptions: Vec<Subscription>,
    /// Do it. Without this, it is only said what would be done.
    #[arg(long)]
    yes: bool,
    /// Who does it, for the mark on the events; the user and the host when absent.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

/// Does it with what the settings name.
pub async fn run(replay: Replay, settings: &Settings) -> ExitCode {
    let ended = match operator::open(settings).await {
        Ok(operator) => {
            let ended = replay.run_on(&operator).await;
            operator.close().await;
            ended
        }
        Err(sentence) => Err(Stop::Failed(sentence)),
    };
    code(ended)
}

impl Replay {
    async fn run_on(&self, operator: &Operator) -> Result<bool, Stop> {
        if self.seek {
            return seek::seek(self, operator).await;
        }
        let narrow = self.since.is_some() || self.until.is_some() || self.session.is_some() || self.task.is_some();
        if !narrow && !self.all {
            let sentence = "say which requests, by --since, --until, --session or --task, or --all";
            return Err(Stop::Usage(sentence.to_owned()));
        }
        republish::republish(self, operator).await
    }
}
