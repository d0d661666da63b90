//! Which request was which.

use parlance_shared::{SessionId, TaskId, port::store::StoredRequest, replay::Replay as Replayed, task::Status};
use serde::Serialize;

use crate::{
    dead_letters::Mark,
    operator::{
        exit::Stop,
        output::{plain, print, print_json, table},
    },
};

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Fate {
    #[serde(rename = "done")]
    Done,
    #[serde(rename = "failed")]
    Failed,
    #[serde(rename = "would be redone")]
    WouldBeRedone,
    #[serde(rename = "redone")]
    Redone,
    #[serde(rename = "error")]
    Error,
}

#[derive(Serialize)]
pub(super) struct Sent {
    task_id: TaskId,
    session_id: SessionId,
    /// As the record has it.
    status: Status,
    pub(super) result: Fate,
    error: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Report {
    action: &'static str,
    dry_run: bool,
    replay: Option<Mark>,
    matched: usize,
    done: usize,
    failed: usize,
    redone: usize,
    pub(super) errors: usize,
    tasks: Vec<Sent>,
}

impl Sent {
    pub(super) fn new(request: &StoredRequest, result: Fate) -> Self {
        let message = &request.message;
        Self { task_id: message.task_id, session_id: message.session_id, status: request.status, result, error: None }
    }

    pub(super) fn fail(&mut self, error: String) {
        self.result = Fate::Error;
        self.error = Some(error);
    }

    fn row(&self) -> Vec<String> {
        let result = match (self.result, &self.error) {
            (Fate::Done, _) => "done: left alone".to_owned(),
            (Fate::Failed, _) => "failed: left alone".to_owned(),
            (Fate::WouldBeRedone, _) => "would be redone".to_owned(),
            (Fate::Redone, _) => "redone".to_owned(),
            (Fate::Error, error) => format!("error: {}", plain(error.as_deref().unwrap_or_default())),
        };
        vec![self.task_id.to_string(), self.session_id.to_string(), self.status.as_str().to_owned(), result]
    }
}

impl Report {
    pub(super) fn new(dry_run: bool, replay: &Replayed, tasks: Vec<Sent>) -> Self {
        let count = |fate: Fate| tasks.iter().filter(|sent| sent.result == fate).count();
        Self {
            action: "replay",
            dry_run,
            replay: (!dry_run).then(|| Mark::from(replay)),
            matched: tasks.len(),
            done: count(Fate::Done),
            failed: count(Fate::Failed),
            redone: count(Fate::Redone),
            errors: count(Fate::Error),
            tasks,
        }
    }

    pub(super) fn print(&self, json: bool) -> Result<(), Stop> {
        if json { print_json(self) } else { print(&self.text()) }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        if !self.tasks.is_empty() {
            let rows: Vec<Vec<String>> = self.tasks.iter().map(Sent::row).collect();
            text = table(&["TASK", "SESSION", "STATUS", "RESULT"], &rows);
        }
        if let Some(mark) = &self.replay {
            text += &format!("replay {} by {}\n", mark.id, plain(&mark.by));
        }
        let Self { matched, done, failed, redone, errors, .. } = self;
        let would = self.tasks.iter().filter(|sent| sent.result == Fate::WouldBeRedone).count();
        text += &format!("matched {matched}, done {done}, failed {failed}, ");
        if self.dry_run {
            text += &format!("would be redone {would}\n");
            if would > 0 {
                text += "nothing was sent; add --yes to do it\n";
            }
        } else {
            text += &format!("redone {redone}, errors {errors}\n");
        }
        text
    }
}
