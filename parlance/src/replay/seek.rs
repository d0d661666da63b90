//! Sets subscriptions back to a time.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Replay;
use crate::{
    dead_letters::subscriptions,
    operator::{
        Operator,
        exit::Stop,
        in_time,
        output::{plain, print, print_json, table, time},
    },
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum Fate {
    #[serde(rename = "would be set")]
    WouldBeSet,
    #[serde(rename = "set")]
    Set,
    #[serde(rename = "error")]
    Error,
}

#[derive(Serialize)]
struct One {
    subscription: &'static str,
    result: Fate,
    waiting: Option<u64>,
    error: Option<String>,
}

#[derive(Serialize)]
struct Report {
    action: &'static str,
    dry_run: bool,
    since: DateTime<Utc>,
    errors: usize,
    subscriptions: Vec<One>,
}

pub(super) async fn seek(replay: &Replay, operator: &Operator) -> Result<bool, Stop> {
    let Some(since) = replay.since.map(|since| since.instant(&operator.clock)) else {
        return Err(Stop::Usage("--seek needs --since".to_owned()));
    };
    if since > operator.clock.now() {
        // That would count all that waits as done.
        return Err(Stop::Usage("--seek goes back: --since must not be in the future".to_owned()));
    }
    let mut all = Vec::new();
    for subscription in subscriptions(&replay.subscriptions) {
        let mut one = One { subscription: subscription.name, result: Fate::WouldBeSet, waiting: None, error: None };
        if replay.yes {
            operator.note(replay.by.as_deref(), "replay --seek", Some(subscription.name.to_owned())).await;
            match in_time(operator.admin.seek(subscription, since)).await {
                Ok(waiting) => (one.result, one.waiting) = (Fate::Set, waiting),
                Err(error) => (one.result, one.error) = (Fate::Error, Some(error.to_string())),
            }
        }
        all.push(one);
    }
    let errors = all.iter().filter(|one| one.result == Fate::Error).count();
    let report = Report { action: "seek", dry_run: !replay.yes, since, errors, subscriptions: all };
    if replay.json {
        print_json(&report)?;
    } else {
        print(&report.text())?;
    }
    Ok(report.errors == 0)
}

impl Report {
    fn text(&self) -> String {
        let rows: Vec<Vec<String>> = self.subscriptions.iter().map(One::row).collect();
        let mut text =
            format!("back to {}\n", time(self.since)) + &table(&["SUBSCRIPTION", "RESULT", "WAITING"], &rows);
        if self.dry_run {
            text += "nothing was changed; add --yes to do it\n";
        }
        text
    }
}

impl One {
    fn row(&self) -> Vec<String> {
        let result = match (self.result, &self.error) {
            (Fate::WouldBeSet, _) => "would be set".to_owned(),
            (Fate::Set, _) => "set".to_owned(),
            (Fate::Error, error) => format!("error: {}", plain(error.as_deref().unwrap_or_default())),
        };
        let waiting = match (self.result, self.waiting) {
            (Fate::Set, Some(waiting)) => waiting.to_string(),
            (Fate::Set, None) => "not known".to_owned(),
            _ => "-".to_owned(),
        };
        vec![self.subscription.to_owned(), result, waiting]
    }
}
