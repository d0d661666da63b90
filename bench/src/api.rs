//! The calls of the API that the benchmarks make, and of what they answer the part that they read.

use std::{borrow::Cow, io, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    Fallible,
    http::{Connection, Response},
    sse::EventStream,
};

/// No call but a stream or a long-poll takes longer.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The answer to an accepted message.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Accepted {
    /// The turn.
    pub task_id: String,
    /// The user's message.
    pub message_id: String,
    /// The conversation.
    pub session_id: String,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Task {
    /// Its id.
    pub id: String,
    /// Its status word.
    pub status: String,
    /// Attempts begun.
    pub attempt: u32,
    /// The reply.
    pub reply: Reply,
    /// What it cost.
    #[serde(default)]
    pub usage: Usage,
    /// When.
    #[serde(default)]
    pub timings: Timings,
    /// Why it failed.
    pub error: Option<TaskError>,
    /// Who was asked.
    #[serde(default)]
    pub attempts: Vec<Attempt>,
}

/// When things happened to a task, in one format: earlier times are smaller texts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Timings {
    /// A worker began with it for the first time.
    pub started_at: Option<String>,
}

/// A request to a model for a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Attempt {
    /// The code of its failure; none for the one that answered.
    pub error: Option<String>,
    /// Its tokens.
    #[serde(default)]
    pub usage: Usage,
}

/// What a reply cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Usage {
    /// Tokens of the reply.
    pub output_tokens: Option<u64>,
}

impl Task {
    /// Whether nothing more will happen.
    pub fn has_ended(&self) -> bool {
        matches!(self.status.as_str(), "completed" | "failed" | "cancelled")
    }

    /// Whether both tell the same of a task that has ended. The id of a reply that was never made may be unknown to one:
    /// a task can be cancelled before anything but its own id has come to a worker.
    pub fn agrees_with(&self, other: &Self) -> bool {
        let known = |task: &Self| task.reply.message_id.is_some() || !task.reply.content.is_empty();
        let mut mine = self.clone();
        if !known(self) || !known(other) {
            mine.reply.message_id.clone_from(&other.reply.message_id);
        }
        mine == *other
    }
}

/// A task's reply.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Reply {
    /// Its id among the session's messages.
    pub message_id: Option<String>,
    /// The text, so far or whole.
    pub content: String,
}

/// Why a task failed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TaskError {
    /// A stable code.
    pub code: String,
}

/// A message of a session.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Message {
    /// Its id.
    pub id: String,
    /// Its turn.
    pub task_id: String,
    /// Who speaks.
    pub role: String,
    /// The text.
    pub content: String,
    /// Where its task stands.
    pub status: String,
    /// Of a reply: its task's.
    pub timings: Option<Timings>,
}

/// A page of messages.
#[derive(Debug, Deserialize)]
pub struct Messages {
    /// The entries.
    pub data: Vec<Message>,
    /// Where the next page starts.
    pub next: Option<String>,
}

/// Data of a `delta`.
#[derive(Debug, Deserialize)]
pub struct Delta<'a> {
    /// More text.
    #[serde(borrow)]
    pub text: Cow<'a, str>,
    /// The attempt it belongs to.
    pub attempt: u32,
}

/// The body of a POST.
pub fn message_body(content: &str) -> Vec<u8> {
    #[derive(Serialize)]
    struct Body<'a> {
        content: &'a str,
    }
    // A struct of one string can't fail to be written.
    serde_json::to_vec(&Body { content }).unwrap_or_default()
}

/// Where a message is posted: in a session, or in a new one.
pub fn messages_path(session: Option<&str>) -> String {
    session.map_or_else(|| "/v1/messages".to_owned(), |id| format!("/v1/sessions/{id}/messages"))
}

/// Sends a message and waits for the 202.
///
/// # Errors
/// When the connection fails or the answer is no 202.
pub async fn post_message(connection: &mut Connection, session: Option<&str>, content: &str) -> Fallible<Accepted> {
    let body = message_body(content);
    let response = connection.exchange(CALL_TIMEOUT, "POST", &messages_path(session), "", Some(&body)).await?;
    parse(&response, 202)
}

/// Reads an answer that must have this status.
///
/// # Errors
/// When it has another, or its body is not as expected.
pub fn parse<'a, T: Deserialize<'a>>(response: &'a Response, status: u16) -> Fallible<T> {
    if response.status != status {
        let body = String::from_utf8_lossy(&response.body);
        return Err(format!("{} instead of {status}: {body}", response.status).into());
    }
    Ok(serde_json::from_slice(&response.body)?)
}

/// Why a stream could not be opened.
#[derive(Debug)]
pub enum OpenStreamError {
    /// The connection failed.
    Connection(io::Error),
    /// The server answered with another status.
    Status(u16, String),
}

impl From<io::Error> for OpenStreamError {
    fn from(error: io::Error) -> Self {
        Self::Connection(error)
    }
}

impl std::fmt::Display for OpenStreamError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connection(error) => write!(f, "{error}"),
            Self::Status(status, body) => write!(f, "{status}: {body}"),
        }
    }
}

impl std::error::Error for OpenStreamError {}

/// Where a task's events are read.
pub fn stream_path(task: &str) -> String {
    format!("/v1/tasks/{task}/stream")
}

/// Opens a task's stream behind the event with this id.
///
/// # Errors
/// When the connection fails or the answer is no 200.
pub async fn open_stream(
    mut connection: Connection,
    path: &str,
    last_event_id: Option<&str>,
) -> Result<EventStream, OpenStreamError> {
    let mut headers = "accept: text/event-stream\r\n".to_owned();
    if let Some(id) = last_event_id {
        headers.push_str("last-event-id: ");
        headers.push_str(id);
        headers.push_str("\r\n");
    }
    let opened = tokio::time::timeout(CALL_TIMEOUT, async {
        connection.send("GET", path, &headers, None).await?;
        let mut head = connection.head().await?;
        if head.status == 200 {
            return Ok(EventStream::new(connection, head));
        }
        let mut body = Vec::new();
        while connection.piece(&mut head, &mut body).await? {}
        Err(OpenStreamError::Status(head.status, String::from_utf8_lossy(&body).into_owned()))
    });
    opened.await.map_err(|_| OpenStreamError::Connection(io::ErrorKind::TimedOut.into()))?
}
