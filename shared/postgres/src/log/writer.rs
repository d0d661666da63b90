//! The port's writer: one attempt's text, into memory and from there to the flusher.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use parlance_shared::port::{
    PortError,
    reply_log::{AppendError, ReplyWriter},
};
use tokio_util::sync::CancellationToken;

use super::{
    outbox::Outbox,
    stream::{Append, Stream},
};

/// Appends to one attempt.
pub(crate) struct Writer {
    pub(crate) stream: Arc<Stream>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) store_after: Duration,
    /// The claim is lost.
    pub(crate) lost: CancellationToken,
    /// The process must go.
    pub(crate) aborting: CancellationToken,
}

#[async_trait]
impl ReplyWriter for Writer {
    async fn append(&mut self, text: &str) -> Result<(), AppendError> {
        if text.is_empty() {
            return if self.stream.is_over() { Err(AppendError::Fenced) } else { Ok(()) };
        }
        loop {
            let (changed, room) = (self.stream.changed(), self.outbox.room());
            match self.stream.append(text, &self.outbox, self.store_after) {
                Append::Done => return Ok(()),
                Append::Over => return Err(AppendError::Fenced),
                Append::Full => {}
            }
            // In this order: what nobody will flush any more has room for everything.
            tokio::select! {
                biased;
                () = self.lost.cancelled() => return Err(AppendError::Fenced),
                () = self.aborting.cancelled() => {
                    let cause = "the process stops".to_owned();
                    return Err(PortError::Unavailable { what: "the reply log", cause }.into());
                }
                () = changed => {}
                () = room => {}
            }
        }
    }

    fn text(&self) -> String {
        self.stream.text()
    }
}
