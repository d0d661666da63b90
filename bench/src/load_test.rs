//! A load test of a Parlance that runs somewhere, over its own API: how long it takes to accept, to answer, how much it says a
//! second, what goes wrong, over time.
//!
//! It is meant for servers that other people use and that spend money, so it is careful before it is fast: it loads another
//! machine only when that is named twice, asks for little by default, slows down when it is told to (`Retry-After`), stops when
//! messages, tokens or time are used up or too much fails, and takes its sessions away again. What it keeps in memory does not
//! grow with the load: durations are counted in buckets, moments in at most [`record::MAX_SLOTS`] slots.
//!
//! Unlike the benchmarks beside it, it speaks TLS and comes from outside, so its client is an ordinary one.

pub mod arguments;
mod calls;
mod chat;
mod conversation;
mod gate;
pub mod histogram;
mod native;
mod picture;
pub mod record;
pub mod report;
mod stream;
pub mod target;
mod trouble;

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet, time::timeout};
use url::Url;

use self::{
    calls::Calls,
    gate::{Ending, Gate},
    record::Recorder,
    target::Target,
};
pub use self::{picture::picture, report::Report};
use crate::{Fallible, clock};

/// What is taken away after an interrupt must be gone within this time.
const FAREWELL: Duration = Duration::from_secs(10);

/// What is sent, and when it ends.
#[derive(Clone, Debug)]
pub struct LoadTest {
    /// The language in which is asked.
    pub protocol: Protocol,
    /// Conversations at once; each waits for its reply before it goes on.
    pub conversations: u32,
    /// Messages a second of all conversations together, at most.
    pub rate: f64,
    /// Messages are sent for this long.
    pub duration: Duration,
    /// So many messages, at most.
    pub max_messages: u64,
    /// No more messages once replies and their prompts have used so many tokens.
    pub max_tokens: u64,
    /// It stops when a larger share (0 to 1) of the last messages failed.
    pub max_error_share: f64,
    /// Messages of one session.
    pub turns: u32,
    /// What is said.
    pub message: String,
    /// The model that is asked for; else the server's own.
    pub model: Option<String>,
    /// A reply that takes longer counts as failed.
    pub reply_timeout: Duration,
    /// Sessions are left where they are.
    pub keep_sessions: bool,
    /// Each conversation is another user's (`X-User-Id`), for a key that may act as users.
    pub act_as_users: bool,
}

/// The protocols that can be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
    /// Post, then stream; what is cut goes on where it was.
    Native,
    /// `/v1/chat/completions`, streamed.
    Chat,
}

impl Protocol {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Chat => "chat completions",
        }
    }
}

/// What the conversations share.
struct World {
    test: LoadTest,
    calls: Calls,
    gate: Gate,
    recorder: Recorder,
}

/// Loads the target. `interrupts` counts how often a person asked to stop: the first time it ends in good order and what was
/// measured is kept, the second time at once.
///
/// # Errors
/// When the target does not answer as Parlance does, before anything is sent to it.
pub async fn run(test: LoadTest, target: Target, mut interrupts: watch::Receiver<u32>) -> Fallible<Report> {
    let url = target.url().clone();
    let calls = Calls::new(target)?;
    calls.check(test.act_as_users.then_some(0)).await?;
    let began_at = clock::micros();
    let gate = Gate::new(&test);
    let world = Arc::new(World { test, calls, gate, recorder: Recorder::start() });
    let mut conversations = JoinSet::new();
    for number in 0..world.test.conversations {
        conversations.spawn(conversation::hold(Arc::clone(&world), number));
    }
    let all_over = async { while conversations.join_next().await.is_some() {} };
    tokio::pin!(all_over);
    let mut asked = async |times: u32| {
        if interrupts.wait_for(|count| *count >= times).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = &mut all_over => {}
        () = asked(1) => {
            world.gate.stop(Ending::Interrupted);
            tokio::select! {
                _ = timeout(FAREWELL, &mut all_over) => {}
                () = asked(2) => {}
            }
        }
    }
    Ok(report_of(&world, &url, began_at))
}

fn report_of(world: &World, url: &Url, began_at: i64) -> Report {
    let ending = world.gate.ending().unwrap_or(Ending::Time);
    Report::new(&world.test, url, began_at, ending.sentence(&world.test), ending.is_early(), world.recorder.take())
}

/// Counts SIGINT and SIGTERM from now on.
///
/// # Errors
/// When the system refuses.
pub fn interrupts() -> Fallible<watch::Receiver<u32>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupted, mut terminated) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let (count, counted) = watch::channel(0);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupted.recv() => {}
                _ = terminated.recv() => {}
            }
            count.send_modify(|count| *count += 1);
        }
    });
    Ok(counted)
}
