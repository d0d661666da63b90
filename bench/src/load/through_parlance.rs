//! A conversation with the server.

use std::{net::SocketAddr, time::Instant};

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::{Conversation, Hops, Load, Turn, content, finish};
use crate::{
    Fallible,
    api::{self, Delta, Reply},
    clock,
    http::Connection,
};

/// What is read of a task that has ended.
#[derive(Deserialize)]
struct Ended {
    reply: Reply,
    timings: Timings,
}

#[derive(Deserialize)]
struct Timings {
    accepted_at: Option<DateTime<Utc>>,
    started_at: Option<DateTime<Utc>>,
    first_token_at: Option<DateTime<Utc>>,
}

impl Timings {
    /// `posted` and `seen`: microseconds since 1970.
    fn hops(&self, posted: i64, seen: i64) -> Option<Hops> {
        let [accepted, started, token] =
            [self.accepted_at?, self.started_at?, self.first_token_at?].map(|at| at.timestamp_micros());
        let ms = |from: i64, to: i64| (to - from) as f64 / 1e3;
        Some(Hops {
            to_server: ms(posted, accepted),
            to_worker: ms(accepted, started),
            to_token: ms(started, token),
            to_client: ms(token, seen),
        })
    }
}

pub(super) struct Parlance {
    server: SocketAddr,
    connection: Option<Connection>,
    session: Option<String>,
    number: u64,
    turns: u32,
}

impl Parlance {
    pub(super) fn new(server: SocketAddr, number: u64) -> Self {
        Self { server, connection: None, session: None, number, turns: 0 }
    }
}

impl Conversation for Parlance {
    async fn turn(&mut self, load: Load) -> Fallible<Turn> {
        let content = content(self.number, self.turns, load.tokens, load.token_delay_ms);
        if self.turns.is_multiple_of(load.turns_per_session) {
            self.session = None;
        }
        self.turns += 1;
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.server).await?,
        };
        let (began, posted) = (Instant::now(), clock::micros());
        let accepted = api::post_message(&mut connection, self.session.as_deref(), &content).await?;
        let accept = began.elapsed();
        self.session = Some(accepted.session_id);
        let mut stream = api::open_stream(connection, &api::stream_path(&accepted.task_id), None).await?;
        let mut first_token = None;
        let mut text = String::new();
        let ended = loop {
            let frame = stream.next().await?.ok_or("the stream ended before the task")?;
            match frame.event {
                "delta" => {
                    first_token.get_or_insert_with(|| (began.elapsed(), clock::micros()));
                    text.push_str(&serde_json::from_str::<Delta<'_>>(frame.data)?.text);
                }
                "status" => {}
                // Another provider was asked; what that took is part of the time to the first token.
                "reset" if text.is_empty() => {}
                "done" => break serde_json::from_str::<Ended>(frame.data)?,
                other => return Err(format!("{other}: {}", frame.data).into()),
            }
        };
        if text != ended.reply.content || text != parlance_mock_llm::expected_reply(&content, load.tokens) {
            return Err(format!("wrong reply to {content:?}").into());
        }
        self.connection = finish(stream).await?;
        let (first_token, seen) = first_token.ok_or("a reply without text")?;
        Ok(Turn { accept, first_token, hops: ended.timings.hops(posted, seen) })
    }

    fn session(self) -> Option<String> {
        self.session
    }
}
