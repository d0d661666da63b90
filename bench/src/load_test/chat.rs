//! One message in OpenAI's protocol, streamed. It knows no way back into a stream that broke; the answer's `x-task-id` does, so the
//! rest is read by [`super::native`], as a client would that does not want to lose it.

use std::time::Instant;

use reqwest::Method;
use serde::Deserialize;
use serde_json::json;
use tokio::time::sleep;

use super::{
    World,
    calls::{Call, accepts_events},
    native::{self, Reading},
    record::Metric,
    stream::Events,
    trouble::{Trouble, word},
};

const POSTS: u32 = 5;

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Usage>,
    error: Option<Failure>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Delta,
}

#[derive(Default, Deserialize)]
struct Delta {
    content: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
}

#[derive(Deserialize)]
struct Failure {
    code: Option<String>,
}

/// Asks and reads. Each call is a session of its own.
pub(super) async fn ask(world: &World, session: &mut Option<String>, user: Option<u32>) -> Result<u64, Trouble> {
    let (posted, response) = open(world, user).await?;
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let task = header("x-task-id");
    *session = header("x-session-id");
    let mut events = Events::new(response);
    let mut first_token = None;
    if let Some(result) = read(world, posted, &mut first_token, &mut events).await {
        return result;
    }
    let task = task.ok_or(Trouble::Cut)?;
    world.recorder.resumed();
    native::follow(world, user, &task, Reading::again(posted, first_token)).await
}

async fn open(world: &World, user: Option<u32>) -> Result<(Instant, reqwest::Response), Trouble> {
    let body = json!({
        "model": world.test.model.as_deref().unwrap_or("default"),
        "messages": [{"role": "user", "content": world.test.message}],
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    let body = body.to_string();
    let key = format!("load-{:032x}", fastrand::u128(..));
    let mut last = Trouble::Cut;
    for attempt in 0..POSTS {
        let posted = Instant::now();
        let headers = [accepts_events(), ("idempotency-key", key.as_str())];
        let (method, path) = (Method::POST, "v1/chat/completions");
        match world.calls.open(Call { method, path, headers: &headers, body: Some(body.as_bytes()), user }).await {
            Ok(response) => {
                world.recorder.measured(Metric::Accept, posted.elapsed());
                return Ok((posted, response));
            }
            Err(Trouble::Status(refusal)) if refusal.is_turned_away() => {
                world.recorder.turned_away(&refusal);
                world.gate.turned_away(&refusal);
                last = Trouble::Status(refusal);
                if !world.gate.wait_until_open().await {
                    break;
                }
            }
            Err(trouble @ (Trouble::NoConnection | Trouble::Cut | Trouble::Timeout(_))) => {
                last = trouble;
                if attempt + 1 < POSTS {
                    world.recorder.repeated();
                    sleep(std::time::Duration::from_millis(250) * (attempt + 1)).await;
                }
            }
            Err(trouble) => return Err(trouble),
        }
    }
    Err(last)
}

/// `None` when the stream broke before its end.
async fn read(
    world: &World,
    posted: Instant,
    first_token: &mut Option<Instant>,
    events: &mut Events,
) -> Option<Result<u64, Trouble>> {
    let (mut deltas, mut usage): (u64, Option<Usage>) = (0, None);
    if events.first_bytes().await {
        world.recorder.measured(Metric::FirstByte, posted.elapsed());
    }
    loop {
        let message = events.next().await?;
        if message.data == "[DONE]" {
            let tokens = usage.map_or(deltas, |usage| usage.completion_tokens);
            world.recorder.replied(posted.elapsed(), first_token.map(|first| first.elapsed()), tokens);
            return Some(Ok(tokens + usage.map_or(0, |usage| usage.prompt_tokens)));
        }
        let Ok(chunk) = serde_json::from_str::<Chunk>(&message.data) else {
            return Some(Err(Trouble::BadAnswer("no chunk")));
        };
        if let Some(error) = chunk.error {
            let code = error.code.unwrap_or_default();
            // The server says itself that only the stream is broken.
            return (code != "stream_interrupted").then(|| Err(Trouble::Failed(word(&code))));
        }
        usage = chunk.usage.or(usage);
        let has_text = |choice: &Choice| choice.delta.content.as_ref().is_some_and(|text| !text.is_empty());
        if chunk.choices.iter().any(has_text) {
            deltas += 1;
            if first_token.is_none() {
                *first_token = Some(Instant::now());
                world.recorder.measured(Metric::FirstToken, posted.elapsed());
            }
        }
    }
}
