//! A client's socket, with two things of ours:
//!
//! - a write that makes no progress for a while fails: without this, a client that vanished without a word would hold
//!   its connection until TCP notices, which can take a quarter of an hour;
//! - bytes that were read too early can be put back.

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
}

impl ClientIo {
    pub(super) fn new(socket: TcpStream, patience: Duration) -> Self {
        Self { socket, patience, stalled: None, behind: Arc::default(), unread: BytesMut::new() }
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
        let progress = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.watch(progress, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
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
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
