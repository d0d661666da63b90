//! The same conversation with the mock itself: what is left without Parlance.

use std::{borrow::Cow, net::SocketAddr, time::Instant};

use serde::{Deserialize, Serialize};

use super::{Conversation, Load, Turn, content, finish};
use crate::{Fallible, http::Connection, sse::EventStream};

pub(super) struct Straight {
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

impl Straight {
    pub(super) fn new(mock: SocketAddr, number: u64) -> Self {
        Self { mock, connection: None, number, turns: 0 }
    }
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
        Ok(Turn { accept, first_token: first_token.ok_or("a reply without text")?, hops: None })
    }

    fn session(self) -> Option<String> {
        None
    }
}
