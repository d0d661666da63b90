//! `parlance keys create|list|rotate|revoke`: the keys that programs call with.
//!
//! A key is shown once, when it is made; what is stored can't be turned back into it. With `--json`, `create` and `rotate`
//! print `{action, key, …}` with the new key's row beside it, `rotate` also `{old}`; `list` prints a list of rows, `revoke`
//! `{action, …}`. A row is `{id, name, user, role, scopes, webhook_url, created_at, expires_at, revoked_at, rotated_to,
//! last_used_at, state}`; `state` is `active`, `rotated` (accepted until it expires), `expired` or `revoked`.
//!
//! A running process notices a change within about ten seconds, as what it knows of a key serves it for so long.
//!
//! Exit codes: 0 all done, 1 something failed, 2 wrong usage.

mod create;
mod list;
mod revoke;
mod rotate;
mod row;

use std::process::ExitCode;

use clap::Subcommand;
use parlance_shared::settings::{Settings, WebhookSettings};

use self::{create::Create, rotate::Rotate};
use crate::operator::{
    self, Operator,
    exit::{Stop, code},
};

/// What is done with keys.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Makes a key and shows it, this once.
    Create(Create),
    /// Lists all keys; not the keys themselves.
    List {
        /// Print a JSON list.
        #[arg(long)]
        json: bool,
    },
    /// Makes a key that stands in for another one, which expires.
    Rotate(Rotate),
    /// From now on the key is not accepted.
    Revoke {
        /// The key's id, by which it begins.
        id: String,
        /// Who does it, for the audit log; the user and the host when absent.
        #[arg(long, value_name = "NAME")]
        by: Option<String>,
        /// Print a JSON object.
        #[arg(long)]
        json: bool,
    },
}

/// Does it with what the settings name.
pub async fn run(action: Action, settings: &Settings) -> ExitCode {
    let ended = match operator::open(settings).await {
        Ok(operator) => {
            let ended = run_on(action, &operator, &settings.webhooks).await;
            operator.close().await;
            ended
        }
        Err(sentence) => Err(Stop::Failed(sentence)),
    };
    code(ended)
}

async fn run_on(action: Action, operator: &Operator, webhooks: &WebhookSettings) -> Result<bool, Stop> {
    match action {
        Action::Create(create) => create.run(operator, webhooks).await,
        Action::List { json } => list::list(operator, json).await,
        Action::Rotate(rotate) => rotate.run(operator).await,
        Action::Revoke { id, by, json } => revoke::revoke(operator, &id, by.as_deref(), json).await,
    }
}
