//! Conversations: post, stream to the end, compare with what the mock must have said, next turn. Through Parlance, and the
//! same straight to the mock.

use std::{
    borrow::Cow,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    Fallible,
    api::{self, Delta, Messages, Task},
    http::Connection,
    sse::EventStream,
};

/// After so many turns a conversation starts a new session.
const TURNS_PER_SESSION: u32 = 5;
/// A reply that takes longer than this hangs.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// What is asked of the mock, and by how many at once.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Conversations at once.
    pub conversations: u32,
    /// Tokens of each reply.
    pub tokens: u32,
    /// Between tokens, in milliseconds.
    pub token_delay_ms: u32,
    /// When a conversation ends.
    pub until: Until,
}

/// When a conversation ends.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After this time, the warm-up not counted.
    Elapsed(Duration),
    /// After so many turns, the warm-up not counted.
    Turns(u32),
}

/// How long replies go uncounted at first: connections, caches and allocators settle.
const WARM_UP: Duration = Duration::from_secs(1);
const WARM_UP_TURNS: u32 = 20;

/// What was measured.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// From the POST to its 202 (straight: to the response's head), in milliseconds.
    pub accept_ms: Vec<f64>,
    /// From the POST to the first text, in milliseconds.
    pub first_token_ms: Vec<f64>,
    /// Replies that ended after the warm-up and within the time.
    pub replies: u64,
    /// All replies, also those of the warm-up.
    pub all_replies: u64,
    /// The time in which `replies` ended.
    pub seconds: f64,
    /// Each conversation's last session.
    pub sessions: Vec<String>,
}

impl Measured {
    /// Replies a second.
    pub fn rate(&self) -> f64 {
        self.replies as f64 / self.seconds
    }
}

struct Turn {
    accept: Duration,
    first_token: Duration,
}

/// Runs the load through Parlance.
///
/// # Errors
/// At the first thing that is not as it should be: a measurement of wrong replies is worth nothing.
pub async fn through_parlance(server: SocketAddr, load: Load) -> Fallible<Measured> {
    run(load, move |number| Parlance { server, connection: None, session: None, number, turns: 0 }).await
}

/// Runs the load straight to the mock.
///
/// # Errors
/// At the first thing that is not as it should be.
pub async fn straight_to_mock(mock: SocketAddr, load: Load) -> Fallible<Measured> {
    run(load, move |number| Straight { mock, connection: None, number, turns: 0 }).await
}

trait Conversation: Send + 'static {
    /// One turn.
    fn turn(&mut self, load: Load) -> impl Future<Output = Fallible<Turn>> + Send;
    /// The session it is in.
    fn session(self) -> Option<String>;
}

async fn run<C: Conversation>(load: Load, conversation: impl Fn(u64) -> C) -> Fallible<Measured> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let began = Instant::now();
    let mut conversations = JoinSet::new();
    let ended_at = Arc::new(AtomicU64::new(0));
    for _ in 0..load.conversations {
        let mut conversation = conversation(NUMBER.fetch_add(1, Ordering::Relaxed));
        let ended_at = Arc::clone(&ended_at);
        conversations.spawn(async move {
            let mut measured = Measured::default();
            for turn_number in 0.. {
                let is_counted = match load.until {
                    Until::Elapsed(time) if began.elapsed() >= WARM_UP + time => break,
                    Until::Turns(turns) if turn_number >= WARM_UP_TURNS + turns => break,
                    Until::Elapsed(_) => began.elapsed() >= WARM_UP,
                    Until::Turns(_) => turn_number >= WARM_UP_TURNS,
                };
                let turn = timeout(REPLY_TIMEOUT, conversation.turn(load)).await.map_err(|_| "a reply hangs")??;
                measured.all_replies += 1;
                if is_counted {
                    measured.accept_ms.push(turn.accept.as_secs_f64() * 1e3);
                    measured.first_token_ms.push(turn.first_token.as_secs_f64() * 1e3);
                    measured.replies += 1;
                }
            }
            ended_at.fetch_max(began.elapsed().as_micros() as u64, Ordering::Relaxed);
            measured.sessions.extend(conversation.session());
            Fallible::Ok(measured)
        });
    }
    let mut all = Measured::default();
    while let Some(measured) = conversations.join_next().await {
        let measured = measured??;
        all.accept_ms.extend(measured.accept_ms);
        all.first_token_ms.extend(measured.first_token_ms);
        all.replies += measured.replies;
        all.all_replies += measured.all_replies;
        all.sessions.extend(measured.sessions);
    }
    // Replies are counted that began after the warm-up, until the last of them has ended: as many begin in the warm-up
    // and end after it as overhang the end.
    all.seconds = ended_at.load(Ordering::Relaxed) as f64 / 1e6 - WARM_UP.as_secs_f64();
    Ok(all)
}

/// What the user says; the mock obeys its directive, and its reply follows from the whole text.
pub fn content(conversation: u64, turn: u32, tokens: u32, delay_ms: u32) -> String {
    format!("Turn {turn} of conversation {conversation}. [[mock tokens={tokens} delay_ms={delay_ms}]]")
}

struct Parlance {
    server: SocketAddr,
    connection: Option<Connection>,
    session: Option<String>,
    number: u64,
    turns: u32,
}

impl Conversation for Parlance {
    async fn turn(&mut self, load: Load) -> Fallible<Turn> {
        let content = content(self.number, self.turns, load.tokens, load.token_delay_ms);
        if self.turns.is_multiple_of(TURNS_PER_SESSION) {
            self.session = None;
        }
        self.turns += 1;
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.server).await?,
        };
        let began = Instant::now();
        let accepted = api::post_message(&mut connection, self.session.as_deref(), &content).await?;
        let accept = began.elapsed();
        self.session = Some(accepted.session_id);
        let mut stream = api::open_stream(connection, &api::stream_path(&accepted.task_id), None).await?;
        let mut first_token = None;
        let mut text = String::new();
        let stored = loop {
            let frame = stream.next().await?.ok_or("the stream ended before the task")?;
            match frame.event {
                "delta" => {
                    first_token.get_or_insert_with(|| began.elapsed());
                    text.push_str(&serde_json::from_str::<Delta<'_>>(frame.data)?.text);
                }
                "status" => {}
                "done" => break serde_json::from_str::<Task>(frame.data)?.reply.content,
                other => return Err(format!("{other}: {}", frame.data).into()),
            }
        };
        if text != stored || text != parlance_mock_llm::expected_reply(&content, load.tokens) {
            return Err(format!("wrong reply to {content:?}").into());
        }
        self.connection = finish(stream).await?;
        Ok(Turn { accept, first_token: first_token.ok_or("a reply without text")? })
    }

    fn session(self) -> Option<String> {
        self.session
    }
}

/// Reads the end of the stream, so that its connection can be used again.
async fn finish(mut stream: EventStream) -> Fallible<Option<Connection>> {
    match stream.next().await? {
        Some(frame) => Err(format!("{} after the end", frame.event).into()),
        None => Ok(stream.into_connection()),
    }
}

struct Straight {
    mock: SocketAddr,
    connection: Option<Connection>,
    number: u64,
    turns: u32,
}

#[derive(Serialize)]
struct ChatRequest<'a> {
    model: &'a str,
    stream: bool,
    messages: [ChatMessage<'a>; 1],
}

#[derive(Serialize)]
struct ChatMessage<'a> {
    role: &'a str,
    content: &'a str,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    choices: Vec<Choice<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    delta: ChoiceDelta<'a>,
}

#[derive(Deserialize)]
struct ChoiceDelta<'a> {
    #[serde(borrow)]
    content: Option<Cow<'a, str>>,
}

/// Sends a chat completion request straight to the mock and waits for the response's head.
///
/// # Errors
/// When the connection fails or the answer is no 200.
pub async fn open_chat(connection: Connection, content: &str) -> Fallible<EventStream> {
    let mut connection = connection;
    let messages = [ChatMessage { role: "user", content }];
    let body = serde_json::to_vec(&ChatRequest { model: "mock", stream: true, messages })?;
    connection.send("POST", "/v1/chat/completions", "", Some(&body)).await?;
    let head = connection.head().await?;
    if head.status != 200 {
        return Err(format!("the mock answered {}", head.status).into());
    }
    Ok(EventStream::new(connection, head))
}

impl Conversation for Straight {
    async fn turn(&mut self, load: Load) -> Fallible<Turn> {
        let content = content(self.number, self.turns, load.tokens, load.token_delay_ms);
        self.turns += 1;
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.mock).await?,
        };
        let began = Instant::now();
        let mut stream = open_chat(connection, &content).await?;
        let accept = began.elapsed();
        let mut first_token = None;
        let mut text = String::new();
        while let Some(frame) = stream.next().await? {
            if frame.data == "[DONE]" {
                break;
            }
            for choice in serde_json::from_str::<Chunk<'_>>(frame.data)?.choices {
                if let Some(more) = choice.delta.content.filter(|more| !more.is_empty()) {
                    first_token.get_or_insert_with(|| began.elapsed());
                    text.push_str(&more);
                }
            }
        }
        if text != parlance_mock_llm::expected_reply(&content, load.tokens) {
            return Err(format!("wrong reply to {content:?}").into());
        }
        self.connection = finish(stream).await?;
        Ok(Turn { accept, first_token: first_token.ok_or("a reply without text")? })
    }

    fn session(self) -> Option<String> {
        None
    }
}

/// Waits until every message of these sessions is in the durable record, so that its cost is measured too.
///
/// # Errors
/// When that takes longer than a reply may.
pub async fn wait_until_persisted(server: SocketAddr, sessions: &[String]) -> Fallible<()> {
    let mut connection = Connection::open(server).await?;
    let since = Instant::now();
    for session in sessions {
        loop {
            let path = api::messages_path(Some(session));
            let response = connection.exchange(api::CALL_TIMEOUT, "GET", &path, "", None).await?;
            let messages: Messages = api::parse(&response, 200)?;
            let replies = messages.data.iter().filter(|message| message.role == "assistant").count();
            if replies * 2 == messages.data.len() && replies > 0 {
                break;
            }
            if since.elapsed() > REPLY_TIMEOUT {
                return Err(format!("{session} is not in the record: {} messages", messages.data.len()).into());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}
