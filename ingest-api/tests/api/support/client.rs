//! A client that sends what it is told to, also what no well-behaved client would.

use std::{net::SocketAddr, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::App;

const PATIENCE: Duration = Duration::from_secs(20);

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Checks status and code of a problem, and gives it.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        let problem = self.json();
        assert_eq!((self.status.as_u16(), &problem["code"]), (status, &Value::from(code)), "{problem}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(problem["status"], status);
        assert!(problem["title"].is_string() && problem["detail"].is_string() && problem["type"].is_string());
        problem
    }
}

/// One server-sent event, comment, or hint.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frame {
    pub id: String,
    pub event: String,
    pub data: Value,
    pub comment: String,
    pub retry: String,
}

/// An open stream.
pub struct Events {
    pub headers: HeaderMap,
    body: Incoming,
    buffer: BytesMut,
    _connection: tokio::task::JoinHandle<()>,
}

impl Events {
    /// The next frame, of whatever kind; `None` at the end.
    pub async fn any(&mut self) -> Option<Frame> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                let text = self.buffer.split_to(end + 2);
                return Some(parse(std::str::from_utf8(&text).unwrap()));
            }
            match timeout(PATIENCE, self.body.frame()).await.expect("the stream says nothing") {
                Some(frame) => self.buffer.extend_from_slice(&frame.unwrap().into_data().unwrap()),
                None => {
                    assert!(self.buffer.is_empty(), "the stream ends in the middle of a frame");
                    return None;
                }
            }
        }
    }

    /// The next event; comments and hints are passed over.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            match self.any().await {
                Some(frame) if frame.event.is_empty() => {}
                other => return other,
            }
        }
    }

    /// All events to the end.
    pub async fn rest(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self._connection.abort();
    }
}

fn parse(text: &str) -> Frame {
    let mut frame = Frame::default();
    for line in text.lines().filter(|line| !line.is_empty()) {
        match line.split_once(": ").unwrap() {
            ("id", id) => frame.id = id.into(),
            ("event", event) => frame.event = event.into(),
            ("data", "[DONE]") => frame.data = "[DONE]".into(),
            ("data", data) => frame.data = serde_json::from_str(data).unwrap(),
            ("retry", retry) => frame.retry = retry.into(),
            ("", comment) => frame.comment = comment.into(),
            other => panic!("{other:?} is no line of an event"),
        }
    }
    frame
}

impl App {
    /// Sends one request on a connection of its own.
    pub async fn send(&self, request: http::request::Builder, body: impl Into<Bytes>) -> Answer {
        let (response, connection) = open(self.address, request, body.into()).await;
        let (parts, body) = response.into_parts();
        let body = timeout(PATIENCE, body.collect()).await.expect("the answer never ends").unwrap().to_bytes();
        connection.abort();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path), "").await
    }

    pub async fn get_owned(&self, path: String) -> Answer {
        self.get(&path).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Request::delete(path), "").await
    }

    pub async fn json(&self, method: Method, path: &str, body: &Value) -> Answer {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        self.send(request, body.to_string()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.json(Method::POST, path, body).await
    }

    pub async fn post_with_key(&self, path: &str, key: &str, body: &Value) -> Answer {
        let request = Request::post(path).header("content-type", "application/json").header("idempotency-key", key);
        self.send(request, body.to_string()).await
    }

    /// Opens a stream that answers 200.
    pub async fn stream(&self, path: &str) -> Events {
        self.stream_with(Request::get(path)).await
    }

    pub async fn stream_with(&self, request: http::request::Builder) -> Events {
        self.opened(request, Bytes::new()).await
    }

    /// The same for what is asked with a JSON body.
    pub async fn stream_of(&self, request: http::request::Builder, body: &Value) -> Events {
        self.opened(request.header("content-type", "application/json"), body.to_string().into()).await
    }

    async fn opened(&self, request: http::request::Builder, body: Bytes) -> Events {
        let (response, connection) = open(self.address, request, body).await;
        assert_eq!(response.status(), 200);
        let (parts, body) = response.into_parts();
        Events { headers: parts.headers, body, buffer: BytesMut::new(), _connection: connection }
    }

    /// Sends bytes, and gives all that comes back until the server closes.
    pub async fn raw(&self, bytes: &[u8]) -> String {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        socket.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        timeout(PATIENCE, socket.read_to_end(&mut answer)).await.expect("the server keeps the connection").unwrap();
        String::from_utf8(answer).unwrap()
    }
}

#[allow(clippy::disallowed_methods, reason = "a client is no part of the process under test")]
async fn open(
    address: SocketAddr,
    mut request: http::request::Builder,
    body: Bytes,
) -> (http::Response<Incoming>, tokio::task::JoinHandle<()>) {
    let socket = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await.unwrap();
    let connection = tokio::spawn(async move {
        let _ = connection.await;
    });
    if request.headers_ref().is_some_and(|headers| !headers.contains_key("host")) {
        request = request.header("host", address.to_string());
    }
    let sent = sender.send_request(request.body(Full::new(body)).unwrap());
    (timeout(PATIENCE, sent).await.expect("no answer").unwrap(), connection)
}
