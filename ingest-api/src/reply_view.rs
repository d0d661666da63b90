//! What a client protocol makes of a reply's log: every protocol is a view of the same entries.

use std::io;

use bytes::BytesMut;
use parlance_shared::log_view::Entry;

use crate::sse_frame::{KEEP_ALIVE, RETRY_HINT, RETRY_SOON, write_frame};

/// Writes the bytes that a client of one protocol is sent.
pub(crate) trait ReplyView: Send + 'static {
    /// What comes before anything of the reply.
    fn open(&mut self, out: &mut BytesMut);

    /// One entry of the log. What was written of it before an error is taken back.
    ///
    /// # Errors
    /// When the entry can't be written.
    fn entry(&mut self, out: &mut BytesMut, entry: &Entry) -> io::Result<()>;

    /// The stream ends and the reply does not: the process stops, or the log fails. The client is to come back.
    fn part(&mut self, out: &mut BytesMut);

    /// The stream has lasted as long as one may (`STREAM_MAX_DURATION`), and nothing is wrong.
    fn pause(&mut self, out: &mut BytesMut) {
        self.part(out);
    }

    /// Whether a client can go on by another stream. Where it can't, a stream that is ended early is only a reply that broke off.
    fn can_go_on(&self) -> bool {
        true
    }

    /// Whether it has nothing more to say, whatever the log holds: the stream ends.
    fn is_over(&self) -> bool {
        false
    }

    /// Sent after a while of silence, so that proxies do not take the stream for dead.
    fn keep_alive(&self) -> &'static [u8] {
        KEEP_ALIVE
    }
}

/// Parlance's own protocol.
pub(crate) struct NativeView;

impl ReplyView for NativeView {
    fn open(&mut self, out: &mut BytesMut) {
        out.extend_from_slice(RETRY_HINT);
    }

    fn entry(&mut self, out: &mut BytesMut, entry: &Entry) -> io::Result<()> {
        write_frame(out, entry)
    }

    fn part(&mut self, out: &mut BytesMut) {
        out.extend_from_slice(RETRY_HINT);
    }

    fn pause(&mut self, out: &mut BytesMut) {
        out.extend_from_slice(RETRY_SOON);
    }
}
