//! `parlance users erase`.
//!
//! The record and the turns first: from then on, what arrives late is dropped. Then dead letters and what the bus keeps, which
//! by now holds all that the stopped turns have published. Then the record once more, for what was on its way at the beginning.

use std::time::Duration;

use parlance_shared::{
    UserId,
    port::users::{UserCounts, user_key},
};
use serde::Serialize;
use tokio::time::Instant;

use super::letters;
use crate::operator::{
    Operator,
    exit::Stop,
    in_time,
    output::{print, print_json},
    progress::Progress,
};

/// Workers stop a turn at once; that of a dead one is free when its lease has run out.
const STOPPING: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);
/// Whoever reads the database does so for moments.
const PURGE_TRIES: u32 = 40;

#[derive(Default, Serialize)]
struct Found {
    #[serde(flatten)]
    counts: UserCounts,
    dead_letters: usize,
}

#[derive(Default, Serialize)]
struct Erased {
    sessions: u64,
    messages: u64,
    dead_letters: usize,
    bus_messages: Option<u64>,
}

#[derive(Serialize)]
struct Report {
    action: &'static str,
    dry_run: bool,
    found: Found,
    erased: Erased,
    running: u64,
    purged: bool,
    failed: usize,
    keys_left: u64,
}

pub(super) async fn erase(operator: &Operator, user: &UserId, yes: bool, json: bool) -> Result<bool, Stop> {
    let counts = in_time(operator.users.count(user)).await?;
    let mut report = Report {
        action: "erase",
        dry_run: !yes,
        found: Found { counts, dead_letters: 0 },
        erased: Erased::default(),
        running: 0,
        purged: false,
        failed: 0,
        keys_left: 0,
    };
    report.found.dead_letters = letters::find(operator, user, drop).await?.iter().map(|at| at.letters.len()).sum();
    if yes {
        operator.note(None, "users erase", Some(format!("user {}", user_key(user)))).await;
        report.erase_all(operator, user).await?;
    }
    if json {
        print_json(&report)?;
    } else {
        print(&report.text())?;
    }
    Ok(!yes || report.is_done())
}

impl Report {
    async fn erase_all(&mut self, operator: &Operator, user: &UserId) -> Result<(), Stop> {
        self.erase_stored(operator, user).await?;
        self.discard_letters(operator, user).await?;
        self.erased.bus_messages = in_time(operator.admin.forget_user(user, operator.clock.now())).await?;
        self.erase_stored(operator, user).await?;
        for _ in 0..PURGE_TRIES {
            self.purged = in_time(operator.users.purge()).await?;
            if self.purged {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.keys_left = in_time(operator.users.count(user)).await?.keys;
        Ok(())
    }

    async fn erase_stored(&mut self, operator: &Operator, user: &UserId) -> Result<(), Stop> {
        let mut progress = Progress::new("erasing", usize::try_from(self.found.counts.sessions).ok());
        let give_up = Instant::now() + STOPPING;
        loop {
            let step = in_time(operator.users.erase(user)).await?;
            (0..step.sessions).for_each(|_| progress.step());
            self.erased.sessions += step.sessions;
            self.erased.messages += step.messages;
            self.running = step.running;
            if step.done || (step.sessions == 0 && Instant::now() >= give_up) {
                return Ok(());
            }
            if step.sessions == 0 {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Those that have not gone with their sessions, and those that the stopped turns have left.
    async fn discard_letters(&mut self, operator: &Operator, user: &UserId) -> Result<(), Stop> {
        let mut more = 0;
        for mut found in letters::find(operator, user, |letter| letter.id).await? {
            more += found.letters.len();
            for id in &found.letters {
                if in_time(found.look.discard(id)).await.is_err() {
                    self.failed += 1;
                }
            }
        }
        self.erased.dead_letters = more.max(self.found.dead_letters) - self.failed;
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.running == 0 && self.failed == 0 && self.purged && self.keys_left == 0
    }

    fn text(&self) -> String {
        let Found { counts, dead_letters } = &self.found;
        let UserCounts { sessions, messages, tasks, summaries, branches, turns, checkpoints, keys } = counts;
        let mut text = format!(
            "found {sessions} sessions, {messages} messages, {tasks} tasks, {summaries} summaries, {branches} branches, {turns} \
             turns, {checkpoints} checkpoints, {keys} keys, {dead_letters} dead letters\n"
        );
        if self.dry_run {
            text += "nothing was changed; add --yes to do it\n";
            return text;
        }
        let Erased { sessions, messages, dead_letters, bus_messages } = &self.erased;
        text += &format!("erased {sessions} sessions, {messages} messages, {dead_letters} dead letters");
        text += &match bus_messages {
            Some(bus_messages) => format!(", {bus_messages} messages of the bus\n"),
            None => "; what the bus keeps for replays goes when its retention ends\n".to_owned(),
        };
        if self.running > 0 {
            text += &format!("{} turns had not stopped; erase again\n", self.running);
        }
        if self.failed > 0 {
            text += &format!("{} dead letters could not be discarded; erase again\n", self.failed);
        }
        if self.keys_left > 0 {
            text += &format!(
                "{} keys are left: a service's login may not delete them; erase again with the owner's\n",
                self.keys_left
            );
        }
        if !self.purged {
            text += "the database's files were in use and may hold traces; erase again\n";
        }
        text
    }
}
