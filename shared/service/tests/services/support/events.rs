//! An open event stream.

use reqwest::Response;
use serde_json::Value;
use tokio::time::timeout;

use super::PATIENCE;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub id: String,
    pub name: String,
    pub data: Value,
}

impl Event {
    pub fn is_terminal(&self) -> bool {
        ["done", "failed", "cancelled"].contains(&self.name.as_str())
    }
}

/// Reads one stream.
pub struct Events {
    response: Response,
    buffer: Vec<u8>,
    /// Retry hints so far.
    pub retries: usize,
}

impl Events {
    pub(super) fn new(response: Response) -> Self {
        Self { response, buffer: Vec::new(), retries: 0 }
    }

    /// The next event; `None` at an end in good order, an error when the connection is lost.
    pub async fn try_next(&mut self) -> reqwest::Result<Option<Event>> {
        loop {
            if let Some(length) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                let frame: Vec<u8> = self.buffer.drain(..length + 2).collect();
                if let Some(event) = self.read(std::str::from_utf8(&frame).unwrap()) {
                    return Ok(Some(event));
                }
                continue;
            }
            match timeout(PATIENCE, self.response.chunk()).await.expect("the stream says nothing")? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                None => {
                    assert!(self.buffer.is_empty(), "the stream ends in the middle of a frame");
                    return Ok(None);
                }
            }
        }
    }

    fn read(&mut self, frame: &str) -> Option<Event> {
        let (mut id, mut name, mut data) = ("", "", None);
        for line in frame.lines() {
            match line.split_once(": ") {
                Some(("id", value)) => id = value,
                Some(("event", value)) => name = value,
                Some(("data", value)) => data = Some(serde_json::from_str(value).unwrap()),
                Some(("retry", _)) => self.retries += 1,
                _ => {}
            }
        }
        Some(Event { id: id.to_owned(), name: name.to_owned(), data: data? })
    }

    /// Events up to the one of this name. The stream must not end before.
    pub async fn until(&mut self, name: &str) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let event = self.try_next().await.unwrap().expect("the stream has ended");
            let is_it = event.name == name;
            assert!(is_it || !event.is_terminal(), "ended before {name}: {event:?}");
            events.push(event);
            if is_it {
                return events;
            }
        }
    }

    /// So many events.
    pub async fn some(&mut self, count: usize) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < count {
            events.push(self.try_next().await.unwrap().expect("the stream has ended"));
        }
        events
    }

    /// All that is left, to an end in good order.
    pub async fn rest(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.try_next().await.unwrap() {
            events.push(event);
        }
        events
    }
}

/// The text that a client shows after these events: deltas in a row, emptied by a reset. Checks that no delta belongs to
/// another attempt than the one that was announced, that a terminal event is the last one and has the very same text.
#[track_caller]
pub fn reply_of(events: &[Event]) -> String {
    let (mut text, mut attempt) = (String::new(), None);
    for (at, event) in events.iter().enumerate() {
        let of = event.data["attempt"].as_u64().unwrap();
        match event.name.as_str() {
            "delta" => {
                assert!(attempt.is_none_or(|attempt| attempt == of), "{events:?}");
                text.push_str(event.data["text"].as_str().unwrap());
            }
            "reset" => {
                assert!(attempt.is_none_or(|attempt| attempt < of), "{events:?}");
                text.clear();
                attempt = Some(of);
            }
            "status" => attempt = Some(of),
            "tool_call" => assert!(attempt.is_none_or(|attempt| attempt == of), "{events:?}"),
            _ => {
                assert_eq!(at + 1, events.len(), "something follows the end: {events:?}");
                assert_eq!(event.data["reply"]["content"], text.as_str(), "{events:?}");
            }
        }
    }
    text
}
