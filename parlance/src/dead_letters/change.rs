//! `parlance dead-letters redrive` and `discard`.

use clap::Args;
use parlance_shared::{
    TaskId,
    port::PortError,
    port::bus::{DeadLetter, DeadLetters},
    replay::Replay,
};
use serde::Serialize;

use super::{
    letter::{Mark, task_of},
    selection::{Found, Selection},
};
use crate::operator::{
    Operator,
    exit::Stop,
    in_time,
    output::{plain, print, print_json, table},
    progress::Progress,
    who,
};

/// After so many failures in a row the rest is not tried: the bus is away.
const HOPELESS: u32 = 3;

/// What to change, and whether to.
#[derive(Clone, Debug, Args)]
pub struct Change {
    /// Which ones.
    #[command(flatten)]
    selection: Selection,
    /// All of them, without any condition.
    #[arg(long)]
    all: bool,
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

/// What becomes of the letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Redrive,
    Discard,
}

/// What became of one letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum Fate {
    #[serde(rename = "would be redriven")]
    WouldBeRedriven,
    #[serde(rename = "redriven")]
    Redriven,
    #[serde(rename = "would be discarded")]
    WouldBeDiscarded,
    #[serde(rename = "discarded")]
    Discarded,
    #[serde(rename = "gone")]
    Gone,
    #[serde(rename = "failed")]
    Failed,
}

#[derive(Serialize)]
struct Outcome {
    id: String,
    subscription: String,
    task_id: Option<TaskId>,
    result: Fate,
    error: Option<String>,
}

#[derive(Serialize)]
struct Report {
    action: Kind,
    dry_run: bool,
    replay: Option<Mark>,
    matched: usize,
    redriven: usize,
    discarded: usize,
    gone: usize,
    failed: usize,
    letters: Vec<Outcome>,
}

impl Change {
    pub(super) async fn run(&self, kind: Kind, operator: &Operator) -> Result<bool, Stop> {
        if !self.all && !self.selection.is_narrow() {
            let sentence = "say which dead letters, by --id, --reason, --since, --until, --session, --task or --subscription, \
                            or --all";
            return Err(Stop::Usage(sentence.to_owned()));
        }
        let planned = kind.planned();
        let found = self.selection.at(&operator.clock)?.find(operator, |letter| Outcome::new(letter, planned)).await?;
        let replay = Replay::new(&who::operator(self.by.as_deref()), &operator.clock, true);
        let letters = if self.yes {
            let count: usize = found.iter().map(|found| found.letters.len()).sum();
            operator.note(self.by.as_deref(), kind.command(), Some(format!("{count} letters"))).await;
            changed(kind, found, &replay).await
        } else {
            found.into_iter().flat_map(|found| found.letters).collect()
        };
        let replay = (kind == Kind::Redrive && self.yes).then(|| Mark::from(&replay));
        let report = Report::new(kind, !self.yes, replay, letters);
        if self.json {
            print_json(&report)?;
        } else {
            print(&report.text())?;
        }
        Ok(report.failed == 0)
    }
}

async fn changed(kind: Kind, found: Vec<Found<Outcome>>, replay: &Replay) -> Vec<Outcome> {
    let total = found.iter().map(|found| found.letters.len()).sum();
    let mut progress = Progress::new(kind.under_way(), Some(total));
    let (mut outcomes, mut failures) = (Vec::with_capacity(total), 0);
    for Found { mut look, letters } in found {
        for mut letter in letters {
            if failures < HOPELESS {
                match kind.change(look.as_mut(), &letter.id, replay).await {
                    Ok(there) => {
                        letter.result = if there { kind.done() } else { Fate::Gone };
                        failures = 0;
                    }
                    Err(error) => {
                        letter.fail(error.to_string());
                        failures += 1;
                    }
                }
            } else {
                letter.fail("not tried after those before it failed".to_owned());
            }
            progress.step();
            outcomes.push(letter);
        }
    }
    outcomes
}

impl Kind {
    async fn change(self, look: &mut dyn DeadLetters, id: &str, replay: &Replay) -> Result<bool, PortError> {
        match self {
            Self::Redrive => in_time(look.redrive(id, replay)).await,
            Self::Discard => in_time(look.discard(id)).await,
        }
    }

    fn command(self) -> &'static str {
        match self {
            Self::Redrive => "dead-letters redrive",
            Self::Discard => "dead-letters discard",
        }
    }

    fn planned(self) -> Fate {
        match self {
            Self::Redrive => Fate::WouldBeRedriven,
            Self::Discard => Fate::WouldBeDiscarded,
        }
    }

    fn done(self) -> Fate {
        match self {
            Self::Redrive => Fate::Redriven,
            Self::Discard => Fate::Discarded,
        }
    }

    fn under_way(self) -> &'static str {
        match self {
            Self::Redrive => "redriving",
            Self::Discard => "discarding",
        }
    }
}

impl Fate {
    fn words(self) -> &'static str {
        match self {
            Self::WouldBeRedriven => "would be redriven",
            Self::Redriven => "redriven",
            Self::WouldBeDiscarded => "would be discarded",
            Self::Discarded => "discarded",
            Self::Gone => "gone",
            Self::Failed => "failed",
        }
    }
}

impl Outcome {
    fn new(letter: DeadLetter, result: Fate) -> Self {
        let task_id = task_of(&letter);
        Self { id: letter.id, subscription: letter.subscription, task_id, result, error: None }
    }

    fn fail(&mut self, error: String) {
        self.result = Fate::Failed;
        self.error = Some(error);
    }

    fn row(&self) -> Vec<String> {
        let result = match &self.error {
            Some(error) => format!("{}: {}", self.result.words(), plain(error)),
            None => self.result.words().to_owned(),
        };
        let task = self.task_id.map_or_else(|| "-".to_owned(), |task| task.to_string());
        vec![plain(&self.id), self.subscription.clone(), task, result]
    }
}

impl Report {
    fn new(action: Kind, dry_run: bool, replay: Option<Mark>, letters: Vec<Outcome>) -> Self {
        let count = |fate: Fate| letters.iter().filter(|letter| letter.result == fate).count();
        Self {
            action,
            dry_run,
            replay,
            matched: letters.len(),
            redriven: count(Fate::Redriven),
            discarded: count(Fate::Discarded),
            gone: count(Fate::Gone),
            failed: count(Fate::Failed),
            letters,
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        if !self.letters.is_empty() {
            let rows: Vec<Vec<String>> = self.letters.iter().map(Outcome::row).collect();
            text = table(&["ID", "SUBSCRIPTION", "TASK", "RESULT"], &rows);
        }
        if let Some(mark) = &self.replay {
            text += &format!("replay {} by {}\n", mark.id, plain(&mark.by));
        }
        let Self { matched, redriven, discarded, gone, failed, .. } = self;
        text +=
            &format!("matched {matched}, redriven {redriven}, discarded {discarded}, gone {gone}, failed {failed}\n");
        if self.dry_run && *matched > 0 {
            text += "nothing was changed; add --yes to do it\n";
        }
        text
    }
}
