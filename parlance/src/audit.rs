//! `parlance audit`: what operators did, by calls with their rights and by commands. Kept for 400 days.
//!
//! With `--json` it prints one object a line: `{id, at, actor, role, key_id, client, action, target, status}`. `role` is
//! `operator` or `admin` for calls, `command` for commands; users that something was done to are named by a hash, as their
//! names would outlive them here.

use std::process::ExitCode;

use chrono::TimeDelta;
use clap::Args;
use parlance_shared::{
    port::audit::{AuditEntry, KEEP_AUDIT},
    settings::Settings,
};

use crate::operator::{
    self, Operator,
    exit::{Stop, code},
    in_time,
    output::{plain, print, table, time},
    when::When,
};

const PAGE: u32 = 500;

/// What is listed.
#[derive(Clone, Debug, Args)]
pub struct AuditLog {
    /// From this time on: 2026-11-20T08:30:00Z, or an age such as 15m, 2h or 3d. All there is when absent.
    #[arg(long, value_name = "TIME")]
    since: Option<When>,
    /// Print a JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Lists it, the oldest first, from what the settings name.
pub async fn run(audit: AuditLog, settings: &Settings) -> ExitCode {
    let ended = match operator::open(settings).await {
        Ok(operator) => {
            let ended = audit.list(&operator).await;
            operator.close().await;
            ended
        }
        Err(sentence) => Err(Stop::Failed(sentence)),
    };
    code(ended)
}

impl AuditLog {
    async fn list(&self, operator: &Operator) -> Result<bool, Stop> {
        let all = When::Ago(TimeDelta::from_std(KEEP_AUDIT).unwrap_or_default() + TimeDelta::days(1));
        let since = self.since.unwrap_or(all).instant(&operator.clock);
        let (mut after, mut rows) = (None, Vec::new());
        loop {
            let page = in_time(operator.audit.entries(since, after.as_ref(), PAGE)).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.position());
            if self.json {
                for entry in &page {
                    let line = serde_json::to_string(entry).map_err(|error| Stop::Failed(error.to_string()))?;
                    print(&format!("{line}\n"))?;
                }
            } else {
                rows.extend(page.iter().map(cells));
            }
        }
        if !self.json {
            let head = ["AT", "ACTOR", "ROLE", "KEY", "CLIENT", "STATUS", "ACTION", "TARGET"];
            print(&if rows.is_empty() { "nothing was done\n".to_owned() } else { table(&head, &rows) })?;
        }
        Ok(true)
    }
}

fn cells(entry: &AuditEntry) -> Vec<String> {
    let optional = |text: &Option<String>| text.as_deref().map_or_else(|| "-".to_owned(), plain);
    vec![
        time(entry.at),
        plain(&entry.actor),
        plain(&entry.role),
        optional(&entry.key_id),
        optional(&entry.client),
        entry.status.map_or_else(|| "-".to_owned(), |status| status.to_string()),
        plain(&entry.action),
        optional(&entry.target),
    ]
}
