//! Server-sent events of any server, in whatever pieces they come.

use std::{num::NonZeroUsize, time::Duration};

use bytes::Bytes;
use reqwest::Response;
use sse_core::{MessageEvent, SseDecoder, SseEvent};
use tokio::time::timeout;

/// The longest event: the last one holds the whole reply.
const EVENT_LIMIT: NonZeroUsize = NonZeroUsize::new(16 * 1024 * 1024).unwrap();
/// Servers say something every 15 s; after so long the connection is taken for dead.
const SILENCE: Duration = Duration::from_secs(60);

/// A body that is an event stream.
pub(super) struct Events {
    response: Response,
    decoder: SseDecoder,
    unread: Bytes,
    pub(super) has_bytes: bool,
    /// How long the server wants to be left alone when it breaks.
    pub(super) retry: Option<Duration>,
}

impl Events {
    pub(super) fn new(response: Response) -> Self {
        let decoder = SseDecoder::with_limit(EVENT_LIMIT);
        Self { response, decoder, unread: Bytes::new(), has_bytes: false, retry: None }
    }

    /// The first bytes, whatever they are; `false` when there are none.
    pub(super) async fn first_bytes(&mut self) -> bool {
        self.has_bytes || self.read().await
    }

    /// The next event; `None` when no more comes, in good order or not.
    pub(super) async fn next(&mut self) -> Option<MessageEvent> {
        loop {
            match self.decoder.next(&mut self.unread) {
                Some(Ok(SseEvent::Message(message))) => return Some(message),
                Some(Ok(SseEvent::Retry(ms))) => self.retry = Some(Duration::from_millis(ms.into())),
                Some(Err(_)) => return None,
                None if self.read().await => {}
                None => return None,
            }
        }
    }

    async fn read(&mut self) -> bool {
        match timeout(SILENCE, self.response.chunk()).await {
            Ok(Ok(Some(bytes))) => {
                self.has_bytes |= !bytes.is_empty();
                self.unread = bytes;
                true
            }
            Ok(Ok(None) | Err(_)) | Err(_) => false,
        }
    }
}
