//! A conversation with the server.

use std::{net::SocketAddr, time::Instant};

use super::{Conversation, Load, TURNS_PER_SESSION, Turn, content, finish};
use crate::{
    Fallible,
    api::{self, Delta, Task},
    http::Connection,
};

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
