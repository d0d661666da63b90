//! Conversations: post, stream to the end, compare with what the mock must have said, next turn. Through Parlance, and the
//! same straight to the mock.

mod straight_to_mock;
mod through_parlance;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

pub use self::straight_to_mock::open_chat;
use self::{straight_to_mock::Straight, through_parlance::Parlance};
use crate::{
    Fallible,
    api::{self, Messages},
    http::Connection,
    sse::EventStream,
};

/// After so many turns a conversation starts a new session, as a rule.
pub const TURNS_PER_SESSION: u32 = 5;
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
    /// Before each turn a conversation pauses for up to so many milliseconds, chosen at random.
    pub pause_ms: u64,
    /// After so many turns a conversation starts a new session.
    pub turns_per_session: u32,
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
    /// Where that time went; nothing straight.
    pub hops: Vec<Hops>,
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

/// Where the time to the first token went, in milliseconds, by the clock of the one machine. They add up to it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hops {
    /// From the client's POST until its request was checked.
    pub to_server: f64,
    /// Until a worker had the task: publishing, delivery, claim.
    pub to_worker: f64,
    /// Until the worker had the first token.
    pub to_token: f64,
    /// Until the client had it.
    pub to_client: f64,
}

struct Turn {
    accept: Duration,
    first_token: Duration,
    hops: Option<Hops>,
}

/// Runs the load through Parlance.
///
/// # Errors
/// At the first thing that is not as it should be: a measurement of wrong replies is worth nothing.
pub async fn through_parlance(server: SocketAddr, load: Load) -> Fallible<Measured> {
    run(load, move |number| Parlance::new(server, number)).await
}

/// Runs the load straight to the mock.
///
/// # Errors
/// At the first thing that is not as it should be.
pub async fn straight_to_mock(mock: SocketAddr, load: Load) -> Fallible<Measured> {
    run(load, move |number| Straight::new(mock, number)).await
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
                if load.pause_ms > 0 {
                    sleep(Duration::from_millis(fastrand::u64(..=load.pause_ms))).await;
                }
                let turn = timeout(REPLY_TIMEOUT, conversation.turn(load)).await.map_err(|_| "a reply hangs")??;
                measured.all_replies += 1;
                if is_counted {
                    measured.accept_ms.push(turn.accept.as_secs_f64() * 1e3);
                    measured.first_token_ms.push(turn.first_token.as_secs_f64() * 1e3);
                    measured.hops.extend(turn.hops);
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
        all.hops.extend(measured.hops);
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

/// Reads the end of the stream, so that its connection can be used again.
pub(crate) async fn finish(mut stream: EventStream) -> Fallible<Option<Connection>> {
    match stream.next().await? {
        Some(frame) => Err(format!("{} after the end", frame.event).into()),
        None => Ok(stream.into_connection()),
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
