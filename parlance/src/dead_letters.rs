//! `parlance dead-letters list|show|redrive|discard`.
//!
//! With `--json` each prints one value:
//! - `list`: an array of letters, `show` one letter and its `event` (a CloudEvent). A letter is `{id, subscription, reason:
//!   {code, message}, attempts, published_at, dead_at, ordering_key, session_id, task_id, event_id, event_type, replay: {id,
//!   by, at}}`; what is not known is null.
//! - `redrive`, `discard`: `{action, dry_run, replay: {id, by, at}, matched, redriven, discarded, gone, failed, letters: [{id,
//!   subscription, task_id, result, error}]}`; `result` is `would be redriven`, `redriven`, `would be discarded`, `discarded`,
//!   `gone` (somebody else was first) or `failed`.
//!
//! Exit codes: 0 all done, 1 something failed, 2 wrong usage.

mod change;
mod letter;
mod list;
mod selection;
mod show;

use std::process::ExitCode;

use clap::Subcommand;
use parlance_shared::settings::Settings;

pub use self::{change::Change, selection::Selection};
pub(crate) use self::{
    letter::Mark,
    selection::{subscription, subscriptions},
};
use crate::operator::{
    self, Operator,
    exit::{Stop, code},
};

/// What is done with messages that were given up.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Lists them, oldest first.
    List {
        /// Which ones.
        #[command(flatten)]
        selection: Selection,
        /// Print a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Prints one of them whole. That includes the message: what a user wrote.
    Show {
        /// Its id, as `list` prints it.
        id: String,
        /// Look in this subscription only.
        #[arg(long = "subscription", value_name = "NAME", value_parser = selection::subscription)]
        subscription: Option<parlance_shared::port::bus::Subscription>,
        /// Print a JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Delivers them again, each to the subscription that gave it up. A failed task is answered anew; what is done by now is
    /// not done again.
    Redrive(Change),
    /// Forgets them.
    Discard(Change),
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
        Action::List { selection, json } => list::list(operator, &selection, json).await,
        Action::Show { id, subscription, json } => show::show(operator, &id, subscription, json).await,
        Action::Redrive(change) => change.run(change::Kind::Redrive, operator).await,
        Action::Discard(change) => change.run(change::Kind::Discard, operator).await,
    }
}
