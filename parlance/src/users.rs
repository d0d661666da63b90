//! `parlance users export|erase USER`.
//!
//! - `export` prints JSON, one object a line. Each has a `kind`: `user`, `session`, `checkpoint`, `message`, `task`, `summary`,
//!   `branch`, `turn` (`shared/src/port/users.rs` has their fields) and `dead_letter` (`{id, subscription, reason: {code,
//!   message}, attempts, published_at, dead_at, event}`).
//! - `erase` says what there is, and with `--yes` leaves nothing of it but ids. With `--json` it prints one object: `{action:
//!   "erase", dry_run, found: {sessions, messages, tasks, summaries, branches, turns, checkpoints, keys, dead_letters}, erased:
//!   {sessions, messages, dead_letters, bus_messages}, running, purged, failed, keys_left}`; `bus_messages` is null where the bus can't take
//!   back what it keeps for replays, `running` counts turns that had not stopped, `purged` says that the database's own files
//!   were seen to, `failed` counts dead letters that could not be discarded,
//!   `keys_left` keys that still open data of that name, as a service's login may not delete keys: erase with the owner's.
//!
//! Both go on where they are interrupted: `erase` again finishes what is left.
//!
//! Exit codes: 0 all done, 1 something failed or is left, 2 wrong usage.

mod erase;
mod export;
mod letters;

use std::{path::PathBuf, process::ExitCode};

use clap::Subcommand;
use parlance_shared::{UserId, settings::Settings};

use crate::operator::{
    self, Operator,
    exit::{Stop, code},
};

/// What is done with a user's data.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Prints all that is stored of a user, as JSON lines.
    Export {
        /// The user, by the name that those who authenticate them use.
        #[arg(value_parser = user)]
        user: UserId,
        /// Write to this file instead, which must not exist; only its owner may read it.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Erases all that is stored of a user: sessions, what runs in them, dead letters. Only ids stay, so that nothing comes back.
    Erase {
        /// The user, by the name that those who authenticate them use.
        #[arg(value_parser = user)]
        user: UserId,
        /// Do it. Without this, it is only said what there is.
        #[arg(long)]
        yes: bool,
        /// Print a JSON object.
        #[arg(long)]
        json: bool,
    },
}

fn user(name: &str) -> Result<UserId, String> {
    if name.is_empty() { Err("a name".to_owned()) } else { Ok(UserId::new(name)) }
}

/// Does it with what the settings name.
pub async fn run(action: Action, settings: &Settings) -> ExitCode {
    let ended = match operator::open(settings).await {
        Ok(operator) => {
            let ended = run_on(action, &operator).await;
            operator.close().await;
            ended
        }
        Err(sentence) => Err(Stop::Failed(sentence)),
    };
    code(ended)
}

async fn run_on(action: Action, operator: &Operator) -> Result<bool, Stop> {
    match action {
        Action::Export { user, out } => export::export(operator, &user, out.as_deref()).await,
        Action::Erase { user, yes, json } => erase::erase(operator, &user, yes, json).await,
    }
}
