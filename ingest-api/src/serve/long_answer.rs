//! Writes a long answer: chunked, with no buffer kept while there is nothing to say.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::{body::Body, response::Response};
use bytes::BytesMut;
use futures_util::FutureExt as _;
use http::header;
use http_body_util::BodyExt as _;
use parlance_shared::Clock;
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};

use super::client_io::ClientIo;

/// Chunks that are ready are written together up to this size.
const WRITE_BYTES: usize = 32 * 1024;

/// A client may send its next request early; what is beyond this stays in the socket.
const EARLY_BYTES: usize = 4 * 1024;

/// The status line and headers. The body must follow in chunks.
pub(super) fn head(response: &Response, clock: &Clock, keeps_connection: bool) -> BytesMut {
    let status = response.status();
    let mut head = BytesMut::with_capacity(512);
    head.extend_from_slice(b"HTTP/1.1 ");
    head.extend_from_slice(status.as_str().as_bytes());
    head.extend_from_slice(b" ");
    head.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    head.extend_from_slice(b"\r\n");
    for (name, value) in response.headers() {
        if name == header::CONNECTION || name == header::CONTENT_LENGTH {
            continue;
        }
        line(&mut head, name.as_str(), value.as_bytes());
    }
    line(&mut head, "date", clock.now().format("%a, %d %b %Y %H:%M:%S GMT").to_string().as_bytes());
    if !keeps_connection {
        line(&mut head, "connection", b"close");
    }
    line(&mut head, "transfer-encoding", b"chunked");
    head.extend_from_slice(b"\r\n");
    head
}

fn line(head: &mut BytesMut, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        head.extend_from_slice(part);
    }
}

/// Writes `head`, then the body as it comes. An error means that the client is gone.
pub(super) async fn write(io: &mut ClientIo, head: BytesMut, response: Response) -> io::Result<()> {
    let mut body = response.into_body();
    let mut next = gather(&mut body, head);
    loop {
        let Ready { bytes, last } = next;
        if !bytes.is_empty() {
            io.write_all(&bytes).await?;
        }
        if last {
            return Ok(());
        }
        // Nothing is held while the body has nothing.
        drop(bytes);
        let frame = tokio::select! {
            biased;
            frame = body.frame() => frame,
            error = gone(io) => return Err(error),
        };
        let mut bytes = BytesMut::new();
        next = if add(&mut bytes, frame) { Ready { bytes, last: true } } else { gather(&mut body, bytes) };
    }
}

struct Ready {
    bytes: BytesMut,
    last: bool,
}

/// Adds what the body has without a wait.
fn gather(body: &mut Body, mut bytes: BytesMut) -> Ready {
    while bytes.len() < WRITE_BYTES {
        let Some(frame) = body.frame().now_or_never() else { return Ready { bytes, last: false } };
        if add(&mut bytes, frame) {
            return Ready { bytes, last: true };
        }
    }
    Ready { bytes, last: false }
}

/// Adds a chunk; true when it was the last one.
fn add(bytes: &mut BytesMut, frame: Option<Result<http_body::Frame<bytes::Bytes>, axum::Error>>) -> bool {
    let Some(Ok(frame)) = frame else {
        bytes.extend_from_slice(b"0\r\n\r\n");
        return true;
    };
    // An empty chunk would be taken for the last one.
    if let Ok(data) = frame.into_data()
        && !data.is_empty()
    {
        bytes.reserve(data.len() + 16);
        bytes.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
        bytes.extend_from_slice(&data);
        bytes.extend_from_slice(b"\r\n");
    }
    false
}

/// Waits for the client to leave.
async fn gone(io: &mut ClientIo) -> io::Error {
    std::future::poll_fn(|context| poll_gone(io, context)).await
}

fn poll_gone(io: &mut ClientIo, context: &mut Context<'_>) -> Poll<io::Error> {
    let mut early = [0; 512];
    while io.unread_len() < EARLY_BYTES {
        let mut buffer = ReadBuf::new(&mut early);
        match ready!(Pin::new(io.socket()).poll_read(context, &mut buffer)) {
            Ok(()) if buffer.filled().is_empty() => {
                return Poll::Ready(io::Error::new(io::ErrorKind::UnexpectedEof, "the client has closed"));
            }
            Ok(()) => io.append_unread(buffer.filled()),
            Err(error) => return Poll::Ready(error),
        }
    }
    // It talks instead of listening; that it leaves is noticed when something is written.
    Poll::Pending
}
