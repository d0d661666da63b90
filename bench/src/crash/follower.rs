//! A subscriber: follows a task's stream to its end, loses its connection now and then, and resumes.

use std::{
    io::ErrorKind,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::time::{sleep, timeout};

use super::{
    findings::{Finding, Flaw},
    recovery::Watched,
    transcript::Transcript,
    world::World,
};
use crate::{
    api::{self, OpenStreamError, Task},
    http::Connection,
    random::Random,
    sse::EventStream,
};

/// Keep-alives come every 15 s; a connection that is silent for longer is dead.
const SILENCE: Duration = Duration::from_secs(20);

/// An event that was seen, to be resumed from much later.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The task.
    pub task: String,
    /// The event's id.
    pub id: String,
    /// The text of that attempt up to it.
    pub text: String,
}

/// What a subscriber brings home.
#[derive(Debug)]
pub struct Followed {
    /// How the task ended.
    pub end: Task,
    /// Some of the events.
    pub samples: Vec<Sample>,
}

/// Follows a task to its end.
///
/// # Errors
/// The first thing that must not be.
pub async fn follow(world: World, task: String, mut random: Random) -> Result<Followed, Finding> {
    let mut transcript = Transcript::default();
    let mut samples = Vec::new();
    if random.chance(30) {
        sleep(Duration::from_millis(random.between(0, 600))).await;
    }
    let following = async {
        let mut watched = Watched::new(world.recovery.clone());
        let mut server = world.reader(0);
        loop {
            let opened = open(&world, server, &task, transcript.last_id(), random.chance(50)).await?;
            if let Some(mut stream) = opened {
                match read(&world, &mut stream, &mut transcript, &mut samples, &task, &mut random, &mut watched).await?
                {
                    Left::Ended => return Ok(()),
                    Left::OnItsOwn => world.findings.count("streams left and resumed"),
                    Left::Cut => {
                        world.findings.count("streams cut and resumed");
                        watched.cut(transcript.attempt());
                    }
                }
            }
            sleep(world.retry_pause).await;
            server = world.reader(random.between(0, 1_000) as usize);
        }
    };
    let outcome = timeout(world.patience, following).await;
    let finding = match outcome {
        Ok(Ok(())) => None,
        Ok(Err(finding)) => Some(finding),
        Err(_) => {
            let seen = transcript.last_id().unwrap_or("nothing");
            Some(Finding::new(Flaw::Hanging, format!("no end, after {seen}")))
        }
    };
    match (finding, transcript.end()) {
        (None, Some(end)) => Ok(Followed { end: end.clone(), samples }),
        (finding, _) => {
            let finding = finding.unwrap_or_else(|| Finding::new(Flaw::Hanging, "no end"));
            Err(finding.at(format!("stream of {task}")))
        }
    }
}

enum Left {
    Ended,
    OnItsOwn,
    Cut,
}

/// `None` when there is no server just now.
async fn open(
    world: &World,
    server: SocketAddr,
    task: &str,
    last_id: Option<&str>,
    by_header: bool,
) -> Result<Option<EventStream>, Finding> {
    let Ok(connection) = Connection::open(server).await else { return Ok(None) };
    let path = api::stream_path(task);
    let opened = match last_id {
        Some(id) if !by_header => api::open_stream(connection, &format!("{path}?after={id}"), None).await,
        last_id => api::open_stream(connection, &path, last_id).await,
    };
    match opened {
        Ok(stream) => Ok(Some(stream)),
        Err(OpenStreamError::Connection(_)) => Ok(None),
        Err(OpenStreamError::Status(503, _)) => {
            world.findings.count("answers of 503");
            Ok(None)
        }
        Err(OpenStreamError::Status(status, body)) => {
            let flaw = if status == 404 { Flaw::NotFound } else { Flaw::BadAnswer };
            Err(Finding::new(flaw, format!("{status} after {last_id:?}: {body}")))
        }
    }
}

async fn read(
    world: &World,
    stream: &mut EventStream,
    transcript: &mut Transcript,
    samples: &mut Vec<Sample>,
    task: &str,
    random: &mut Random,
    watched: &mut Watched,
) -> Result<Left, Finding> {
    loop {
        let frame = match stream.next_within(SILENCE).await {
            Ok(Some(frame)) => frame,
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                return Err(Finding::new(Flaw::Hanging, "not even keep-alives"));
            }
            // Lost, or ended early in good order, as a server does that stops.
            Ok(None) | Err(_) => return Ok(if transcript.end().is_some() { Left::Ended } else { Left::Cut }),
        };
        transcript.take(&frame)?;
        watched.saw(frame.event, &world.findings);
        if samples.len() < 20 && random.chance(8) {
            let id = frame.id.to_owned();
            samples.push(Sample { task: task.to_owned(), id, text: transcript.text().to_owned() });
        }
        if transcript.end().is_none() && random.chance(4) {
            return Ok(Left::OnItsOwn);
        }
    }
}

/// Resumes from an event that was seen long ago and compares what comes with what is stored.
///
/// # Errors
/// What must not be.
pub async fn resume(world: &World, sample: &Sample, stored: &Task) -> Result<(), Finding> {
    let mut transcript = Transcript::resumed(&sample.id, &sample.text);
    if sample.id.ends_with("-end") {
        // All was seen: nothing more may come. The judge would refuse any event whose cursor is no higher.
        return resume_after_the_end(world, sample).await;
    }
    let since = Instant::now();
    for tries in 0.. {
        if transcript.end().is_some() {
            break;
        }
        if since.elapsed() > world.patience {
            return Err(Finding::new(Flaw::Hanging, "no end"));
        }
        if let Some(mut stream) = open(world, world.reader(tries), &sample.task, transcript.last_id(), true).await? {
            while let Ok(Some(frame)) = stream.next_within(SILENCE).await {
                transcript.take(&frame)?;
            }
        }
    }
    if !transcript.end().is_some_and(|end| end.agrees_with(stored)) {
        return Err(Finding::new(Flaw::Disagreement, "the resumed stream ends otherwise than the task"));
    }
    Ok(())
}

async fn resume_after_the_end(world: &World, sample: &Sample) -> Result<(), Finding> {
    let path = api::stream_path(&sample.task);
    let lost = |error: std::io::Error| Finding::new(Flaw::BadAnswer, error.to_string());
    let connection = Connection::open(world.reader(0)).await.map_err(lost)?;
    let mut stream = match api::open_stream(connection, &path, Some(&sample.id)).await {
        Ok(stream) => stream,
        // 204 tells a browser not to come back.
        Err(OpenStreamError::Status(204, _)) => return Ok(()),
        Err(error) => return Err(Finding::new(Flaw::BadAnswer, error.to_string())),
    };
    match timeout(SILENCE, stream.next()).await {
        Ok(Ok(None)) => Ok(()),
        Ok(Ok(Some(frame))) => Err(Finding::new(Flaw::Doubled, format!("{} after the end", frame.event))),
        Ok(Err(error)) => Err(Finding::new(Flaw::BadAnswer, error.to_string())),
        Err(_) => Err(Finding::new(Flaw::Hanging, "the stream of an ended task stays open")),
    }
}
