//! `parlance users export`.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use chrono::{DateTime, Utc};
use cloudevents::Event;
use parlance_shared::{UserId, port::bus::DeadLetter};
use serde::Serialize;

use super::letters;
use crate::operator::{Operator, exit::Stop, in_time, progress::Progress};

#[derive(Serialize)]
struct Letter {
    kind: &'static str,
    id: String,
    subscription: String,
    reason: Reason,
    attempts: u32,
    published_at: DateTime<Utc>,
    dead_at: DateTime<Utc>,
    event: Event,
}

#[derive(Serialize)]
struct Reason {
    code: String,
    message: String,
}

impl From<DeadLetter> for Letter {
    fn from(letter: DeadLetter) -> Self {
        Self {
            kind: "dead_letter",
            id: letter.id,
            subscription: letter.subscription,
            reason: Reason { code: letter.reason.code, message: letter.reason.message },
            attempts: letter.attempts,
            published_at: letter.published_at,
            dead_at: letter.dead_at,
            event: letter.event,
        }
    }
}

pub(super) async fn export(operator: &Operator, user: &UserId, out: Option<&Path>) -> Result<bool, Stop> {
    let mut lines = Lines::to(out)?;
    let mut progress = Progress::new("exported", None);
    let mut after = None;
    loop {
        let page = in_time(operator.users.export(user, after.as_ref())).await?;
        for line in &page.lines {
            if !lines.write(line)? {
                return Ok(true);
            }
            progress.step();
        }
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    drop(progress);
    for found in letters::find(operator, user, Letter::from).await? {
        for letter in &found.letters {
            if !lines.write(letter)? {
                return Ok(true);
            }
        }
    }
    lines.finish()?;
    Ok(true)
}

/// Where the lines go.
enum Lines {
    Stdout(BufWriter<io::Stdout>),
    File(BufWriter<File>),
}

impl Lines {
    fn to(out: Option<&Path>) -> Result<Self, Stop> {
        let Some(path) = out else { return Ok(Self::Stdout(BufWriter::new(io::stdout()))) };
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = made.map_err(|error| Stop::Failed(format!("can't make {}: {error}", path.display())))?;
        Ok(Self::File(BufWriter::new(file)))
    }

    /// False when whoever read has seen enough.
    fn write(&mut self, line: &impl Serialize) -> Result<bool, Stop> {
        let mut json = serde_json::to_vec(line).map_err(|error| Stop::Failed(error.to_string()))?;
        json.push(b'\n');
        let written = match self {
            Self::Stdout(stdout) => stdout.write_all(&json),
            Self::File(file) => file.write_all(&json),
        };
        went_on(written)
    }

    fn finish(self) -> Result<(), Stop> {
        let finished = match self {
            Self::Stdout(mut stdout) => stdout.flush(),
            Self::File(file) => {
                file.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all())
            }
        };
        went_on(finished).map(drop)
    }
}

fn went_on(written: io::Result<()>) -> Result<bool, Stop> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Stop::Failed(format!("can't write the export: {error}"))),
    }
}
