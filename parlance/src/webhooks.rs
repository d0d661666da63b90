//! `parlance webhooks secret`: what a receiver of webhooks checks their signatures with.
//!
//! Secrets are not stored: each follows from `ID_SECRET` (or the data folder's own) and the key or user. With `--json` it prints
//! `{action, secret, key_id, user}`.
//!
//! Exit codes: 0 done, 1 something failed, 2 wrong usage.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use parlance_shared::{UserId, settings::Settings, webhook::WebhookMint};
use serde::Serialize;

use crate::operator::{
    self, Operator,
    exit::{Stop, code},
    in_time,
    output::{print, print_json},
};

/// What is done with webhooks.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Shows the secret that signs for a key, or for a user's calls without a key. Give it to the receiver and nobody else.
    Secret {
        /// Whose.
        #[command(flatten)]
        whose: Whose,
        /// Who asks, for the audit log; the user and the host when absent.
        #[arg(long, value_name = "NAME")]
        by: Option<String>,
        /// Print a JSON object.
        #[arg(long)]
        json: bool,
    },
}

/// Whose secret.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Whose {
    /// The id of the key that messages are sent with, as `parlance keys list` prints it.
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// The user who sends messages without a key.
    #[arg(long, value_name = "USER")]
    user: Option<String>,
}

#[derive(Serialize)]
struct Shown<'a> {
    action: &'static str,
    secret: &'a str,
    key_id: Option<&'a str>,
    user: Option<&'a str>,
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
    let Action::Secret { whose, by, json } = action;
    let (key, user) = (whose.key.as_deref(), whose.user.as_deref());
    if user.is_some_and(str::is_empty) {
        return Err(Stop::Usage("--user needs a name".to_owned()));
    }
    if let Some(id) = key
        && in_time(operator.keys.get(id)).await?.is_none()
    {
        return Err(Stop::Failed(format!("there is no key {id}; `parlance keys list` has them")));
    }
    operator.note(by.as_deref(), "webhooks secret", key.or(user).map(str::to_owned)).await;
    let secret = operator.webhook_secret(key, user).await?;
    if json {
        print_json(&Shown { action: "secret", secret: &secret, key_id: key, user })?;
    } else {
        print(&format!("{secret}\n"))?;
    }
    Ok(true)
}

/// The secret of a key, or else of a user.
pub(crate) fn secret_of(mint: &WebhookMint, key: Option<&str>, user: Option<&str>) -> String {
    let secret = match key {
        Some(id) => mint.of_key(id),
        None => mint.of_user(&UserId::new(user.unwrap_or_default())),
    };
    secret.expose()
}
