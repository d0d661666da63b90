//! A client's socket, with two things of ours:
//!
//! - a write that makes no progress for a while fails: without this, a client that vanished without a word would hold
//!   its connection until TCP notices, which can take a quarter of an hour;
//! - bytes that were read too early can be put back;
//! - what hyper answers by itself, a status alone, is withheld, so that something better can be said.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, BytesMut};
use http::StatusCode;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

/// One client's end of a connection.
pub(super) struct ClientIo {
    socket: TcpStream,
    patience: Duration,
    /// Runs while a write waits; most connections never need it.
    stalled: Option<Pin<Box<Sleep>>>,
    behind: Arc<AtomicBool>,
    /// Read from the socket, and to be read again first.
    unread: BytesMut,
    withheld: Option<StatusCode>,
}

impl ClientIo {
    pub(super) fn new(socket: TcpStream, patience: Duration) -> Self {
        Self { socket, patience, stalled: None, behind: Arc::default(), unread: BytesMut::new(), withheld: None }
    }

    /// True while a write waits for the client.
    pub(super) fn behind(&self) -> Arc<AtomicBool> {
        self.behind.clone()
    }

    /// The socket itself, past what is unread.
    pub(super) fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    pub(super) fn unread_len(&self) -> usize {
        self.unread.len()
    }

    /// Puts bytes back in front of all others.
    pub(super) fn unread(&mut self, bytes: &[u8]) {
        let behind = std::mem::take(&mut self.unread);
        self.unread.extend_from_slice(bytes);
        self.unread.extend_from_slice(&behind);
    }

    /// Puts bytes back behind those that are unread already.
    pub(super) fn append_unread(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    /// What hyper would have answered by itself.
    pub(super) fn take_withheld(&mut self) -> Option<StatusCode> {
        self.withheld.take()
    }

    /// Whether these bytes are hyper's own answer; they are taken as written then.
    fn withholds(&mut self, bytes: &[u8]) -> bool {
        let status = bare_refusal(bytes);
        self.withheld = status.or(self.withheld);
        status.is_some()
    }

    fn watch<T>(&mut self, progress: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        self.behind.store(progress.is_pending(), Ordering::Relaxed);
        if progress.is_ready() {
            self.stalled = None;
            return progress;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing of what it is sent")))
    }
}

/// The status of an answer that can't be ours: a refusal with nothing but a length of zero, whole in one write. No other bytes
/// begin so: what answers hold is JSON, in which a line break is never bare.
fn bare_refusal(bytes: &[u8]) -> Option<StatusCode> {
    let head = bytes.strip_prefix(b"HTTP/1.")?;
    let status = StatusCode::from_bytes(head.get(2..5)?).ok()?;
    let refuses = matches!(
        status,
        StatusCode::BAD_REQUEST | StatusCode::URI_TOO_LONG | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    );
    let text = std::str::from_utf8(head).ok()?.strip_suffix("\r\n\r\n")?;
    let bare = !text.contains("\r\n\r\n") && !text.contains("x-call-id") && text.contains("\r\ncontent-length: 0");
    (refuses && bare).then_some(status)
}

impl AsyncRead for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            return Pin::new(&mut self.socket).poll_read(context, buffer);
        }
        let length = self.unread.len().min(buffer.remaining());
        buffer.put_slice(&self.unread[..length]);
        self.unread.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.withholds(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        let progress = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.watch(progress, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = slices
            && self.withholds(only)
        {
            return Poll::Ready(Ok(only.len()));
        }
        let progress = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.watch(progress, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The better answer is still to come.
        if self.withheld.is_some() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
