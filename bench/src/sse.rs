//! Server-sent events, read from a connection frame by frame.

use std::{io, time::Duration};

use tokio::time::timeout;

use crate::http::{Connection, Head, find};

/// One event. Only what this server and the mock send is understood: one line per field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// `id:`, or nothing.
    pub id: &'a str,
    /// `event:`, or nothing.
    pub event: &'a str,
    /// `data:`.
    pub data: &'a str,
}

/// A response that is an event stream.
pub struct EventStream {
    connection: Connection,
    head: Head,
    buffer: Vec<u8>,
    read: usize,
}

impl EventStream {
    /// Reads events from a response whose head has come.
    pub fn new(connection: Connection, head: Head) -> Self {
        Self { connection, head, buffer: Vec::new(), read: 0 }
    }

    /// The next event; `None` when the server has ended the stream in good order.
    ///
    /// # Errors
    /// When the connection is lost, or a frame is no UTF-8.
    pub async fn next(&mut self) -> io::Result<Option<Frame<'_>>> {
        self.next_within(Duration::MAX).await
    }

    /// The same, if nothing at all comes within `silence`, not even a comment, an error: [`io::ErrorKind::TimedOut`].
    ///
    /// # Errors
    /// When the connection is lost or silent, or a frame is no UTF-8.
    pub async fn next_within(&mut self, silence: Duration) -> io::Result<Option<Frame<'_>>> {
        let (start, end) = loop {
            match find(&self.buffer[self.read..], b"\n\n") {
                Some(length) => {
                    let start = self.read;
                    self.read += length + 2;
                    if is_event(&self.buffer[start..start + length]) {
                        break (start, start + length);
                    }
                }
                None => {
                    self.buffer.drain(..self.read);
                    self.read = 0;
                    if !timeout(silence, self.connection.piece(&mut self.head, &mut self.buffer)).await?? {
                        let rest_is_blank = self.buffer.iter().all(u8::is_ascii_whitespace);
                        return if rest_is_blank { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
                    }
                }
            }
        };
        let text = std::str::from_utf8(&self.buffer[start..end])
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "an event is no UTF-8"))?;
        Ok(Some(parse(text)))
    }

    /// The response itself, before any event of it was read.
    pub fn into_parts(self) -> (Connection, Head) {
        (self.connection, self.head)
    }

    /// The connection, when the stream has ended and it can carry the next exchange.
    pub fn into_connection(self) -> Option<Connection> {
        self.head.is_finished().then_some(self.connection)
    }
}

/// Comments and retry hints alone make no event.
fn is_event(frame: &[u8]) -> bool {
    frame.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"data:"))
}

fn parse(text: &str) -> Frame<'_> {
    let mut frame = Frame { id: "", event: "", data: "" };
    for line in text.split('\n') {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => frame.id = value,
            "event" => frame.event = value,
            "data" => frame.data = value,
            _ => {}
        }
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_their_fields_and_comments_are_none() {
        assert_eq!(
            parse("id: 1-5\nevent: delta\ndata: {\"a\": 1}"),
            Frame { id: "1-5", event: "delta", data: "{\"a\": 1}" }
        );
        assert!(!is_event(b": keep-alive"));
        assert!(!is_event(b"retry: 500"));
        assert!(is_event(b"data: [DONE]"));
    }
}
