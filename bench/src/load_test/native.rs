//! One message in Parlance's own protocol: posted until it is accepted, read until it has ended, however often the stream breaks.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::{
    World,
    calls::{Call, accepts_events},
    record::Metric,
    stream::Events,
    trouble::{Trouble, word},
};
use crate::api::{Accepted, Delta, stream_path};

/// A message is posted so often, when it is turned away or nobody knows what became of it.
const POSTS: u32 = 5;
/// A stream is opened so often without getting anywhere.
const FRUITLESS: u32 = 5;
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(5);

#[derive(Serialize)]
struct Message<'a> {
    content: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
}

#[derive(Deserialize)]
struct Ended {
    reply: Reply,
    #[serde(default)]
    usage: Usage,
    error: Option<Failure>,
}

#[derive(Deserialize)]
struct Reply {
    content: String,
}

#[derive(Default, Deserialize)]
struct Usage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Failure {
    code: String,
}

/// How far the reply has been read.
pub(super) struct Reading {
    posted: Instant,
    first_byte: bool,
    first_token: Option<Instant>,
    cursor: Option<String>,
    text: String,
    deltas: u64,
}

/// Posts and reads.
pub(super) async fn ask(world: &World, session: &mut Option<String>, user: Option<u32>) -> Result<u64, Trouble> {
    let (posted, accepted) = post(world, session.as_deref(), user).await?;
    *session = Some(accepted.session_id);
    follow(world, user, &accepted.task_id, Reading::new(posted)).await
}

async fn post(world: &World, session: Option<&str>, user: Option<u32>) -> Result<(Instant, Accepted), Trouble> {
    let message = Message { content: &world.test.message, model: world.test.model.as_deref() };
    let body = serde_json::to_vec(&message).unwrap_or_default();
    let key = format!("load-{:032x}", fastrand::u128(..));
    let path = crate::api::messages_path(session);
    let mut posted = Instant::now();
    let mut last = Trouble::Cut;
    for attempt in 0..POSTS {
        let sent = Instant::now();
        let headers = [("idempotency-key", key.as_str())];
        let call = Call { method: Method::POST, path: below(&path), headers: &headers, body: Some(&body), user };
        match world.calls.answer(call, StatusCode::ACCEPTED).await {
            Ok(accepted) => {
                world.recorder.measured(Metric::Accept, sent.elapsed());
                return Ok((posted, accepted));
            }
            Err(Trouble::Status(refusal)) if refusal.is_turned_away() => {
                world.recorder.turned_away(&refusal);
                world.gate.turned_away(&refusal);
                last = Trouble::Status(refusal);
                if !world.gate.wait_until_open().await {
                    break;
                }
                // The wait is not the server's answer to a message, and is counted apart.
                posted = Instant::now();
            }
            // The same key makes it the same message, should the first have arrived.
            Err(trouble @ (Trouble::NoConnection | Trouble::Cut | Trouble::Timeout(_))) => {
                last = trouble;
                if attempt + 1 < POSTS {
                    world.recorder.repeated();
                    sleep(RETRY / 4 * (attempt + 1)).await;
                }
            }
            Err(trouble) => return Err(trouble),
        }
    }
    Err(last)
}

impl Reading {
    pub(super) fn new(posted: Instant) -> Self {
        Self { posted, first_byte: false, first_token: None, cursor: None, text: String::new(), deltas: 0 }
    }

    /// Of a reply whose beginning came by another way.
    pub(super) fn again(posted: Instant, first_token: Option<Instant>) -> Self {
        Self { first_byte: true, first_token, ..Self::new(posted) }
    }
}

/// Reads a task's stream to the task's end; the tokens that it used.
pub(super) async fn follow(world: &World, user: Option<u32>, task: &str, mut reading: Reading) -> Result<u64, Trouble> {
    let path = stream_path(&word(task));
    let mut fruitless = 0;
    loop {
        let before = reading.cursor.clone();
        let mut headers = vec![accepts_events()];
        if let Some(cursor) = &before {
            headers.push(("last-event-id", cursor));
        }
        let call = Call { method: Method::GET, path: below(&path), headers: &headers, body: None, user };
        let (trouble, retry) = match world.calls.open(call).await {
            Ok(response) if response.status() == StatusCode::NO_CONTENT => {
                return Err(Trouble::BadAnswer("204 before the end"));
            }
            Ok(response) => {
                let mut events = Events::new(response);
                if let Some(result) = read(world, &mut reading, &mut events).await {
                    return result;
                }
                (Trouble::Cut, events.retry.unwrap_or(RETRY).min(LONGEST_RETRY))
            }
            Err(Trouble::Status(refusal)) if refusal.is_turned_away() => {
                world.recorder.turned_away(&refusal);
                world.gate.turned_away(&refusal);
                if !world.gate.wait_until_open().await {
                    return Err(Trouble::Status(refusal));
                }
                (Trouble::Status(refusal), Duration::ZERO)
            }
            // As a proxy says it that has lost its server.
            Err(Trouble::Status(refusal)) if refusal.status >= 500 => (Trouble::Status(refusal), RETRY),
            Err(trouble @ (Trouble::NoConnection | Trouble::Cut | Trouble::Timeout(_))) => (trouble, RETRY),
            Err(trouble) => return Err(trouble),
        };
        fruitless = if reading.cursor == before { fruitless + 1 } else { 0 };
        if fruitless >= FRUITLESS {
            return Err(trouble);
        }
        if !matches!(&trouble, Trouble::Status(refusal) if refusal.is_turned_away()) {
            world.recorder.resumed();
        }
        sleep(retry).await;
    }
}

/// `None` when the stream ended before the task.
async fn read(world: &World, reading: &mut Reading, events: &mut Events) -> Option<Result<u64, Trouble>> {
    if !reading.first_byte && events.first_bytes().await {
        reading.first_byte = true;
        world.recorder.measured(Metric::FirstByte, reading.posted.elapsed());
    }
    loop {
        let message = events.next().await?;
        let kind: &str = &message.event;
        match kind {
            "delta" => {
                let Ok(delta) = serde_json::from_str::<Delta<'_>>(&message.data) else {
                    return Some(Err(Trouble::BadAnswer("no delta")));
                };
                if reading.first_token.is_none() {
                    reading.first_token = Some(Instant::now());
                    world.recorder.measured(Metric::FirstToken, reading.posted.elapsed());
                }
                reading.text.push_str(&delta.text);
                reading.deltas += 1;
            }
            "reset" => reading.text.clear(),
            "done" | "failed" | "cancelled" => return Some(ended(world, reading, kind, &message.data)),
            _ => {}
        }
        if let Some(id) = &message.last_event_id {
            reading.cursor = Some(id.to_string());
        }
    }
}

fn ended(world: &World, reading: &Reading, kind: &str, data: &str) -> Result<u64, Trouble> {
    let ended: Ended = serde_json::from_str(data).map_err(|_| Trouble::BadAnswer("no task"))?;
    if kind != "done" {
        let code = ended.error.map_or_else(|| kind.to_owned(), |error| error.code);
        return Err(Trouble::Failed(word(&code)));
    }
    if reading.text != ended.reply.content {
        return Err(Trouble::WrongText);
    }
    let tokens = ended.usage.output_tokens.unwrap_or(reading.deltas);
    world.recorder.replied(reading.posted.elapsed(), reading.first_token.map(|first| first.elapsed()), tokens);
    Ok(tokens + ended.usage.input_tokens.unwrap_or_default())
}

fn below(path: &str) -> &str {
    path.trim_start_matches('/')
}
