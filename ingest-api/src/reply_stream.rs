//! The body of a stream. It pulls from the reader when the connection can take more, so a slow client holds up nothing
//! but itself, and what waits for it is one chunk.

use std::{convert::Infallible, pin::Pin, sync::Arc, time::Duration};

use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt as _, Stream, stream};
use http::{HeaderName, HeaderValue, header};
use parlance_shared::{
    Lifecycle,
    cursor::Cursor,
    log_view::{Entry, LogEvent},
    metrics::Metrics,
    port::reply_log::{FollowError, ReplyReader},
    trace::{self, TraceContext},
};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tracing::{Span, warn};

use crate::{reply_view::ReplyView, serve::LongLived, state::ApiState};

/// Entries that are ready go out together up to this size.
const CHUNK_BYTES: usize = 16 * 1024;

/// One subscriber.
pub(crate) struct ReplyStream {
    reader: Box<dyn ReplyReader>,
    view: Box<dyn ReplyView>,
    /// Sent before anything else.
    greeting: Option<Bytes>,
    state: Reading,
    keep_alive: Pin<Box<Sleep>>,
    keep_alive_every: Duration,
    /// When a proxy in front would cut it: it ends before, in good order.
    pausing: Option<Pin<Box<Sleep>>>,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
    lifecycle: Lifecycle,
    span: Span,
    trace: Option<TraceContext>,
    _live: Live,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// No attempt has begun, as far as was read: once the process stops, none will.
    Queued,
    /// An attempt's text comes; it ends or is handed back before the process is gone.
    Running,
    /// Everything was sent.
    Over,
}

/// Counts a subscriber for as long as its stream exists, however it ends.
struct Live(Arc<Metrics>);

impl Live {
    fn new(metrics: &Arc<Metrics>) -> Self {
        metrics.live_subscribers.inc();
        Self(metrics.clone())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.live_subscribers.dec();
    }
}

impl ReplyStream {
    /// Starts with what is ready, so that a cursor that can't be right is refused before the answer has begun.
    pub(crate) fn start(
        state: &ApiState,
        reader: Box<dyn ReplyReader>,
        mut view: Box<dyn ReplyView>,
        seen: Option<Cursor>,
    ) -> Result<Self, FollowError> {
        let reading = if seen.is_some_and(|seen| seen.attempt > 0) { Reading::Running } else { Reading::Queued };
        let closing = match reading {
            Reading::Queued => state.lifecycle.stopping(),
            Reading::Running | Reading::Over => state.lifecycle.aborting(),
        };
        let pausing = state.door.stream_max.filter(|_| view.can_go_on()).map(|max| Box::pin(sleep(max)));
        let mut chunk = BytesMut::new();
        view.open(&mut chunk);
        let mut stream = Self {
            reader,
            view,
            greeting: None,
            state: reading,
            keep_alive: Box::pin(sleep(state.limits.keep_alive)),
            keep_alive_every: state.limits.keep_alive,
            pausing,
            closing: Box::pin(closing.clone().cancelled_owned()),
            lifecycle: state.lifecycle.clone(),
            span: Span::current(),
            trace: trace::current(),
            _live: Live::new(&state.metrics),
        };
        if let Some(first) = stream.reader.next().now_or_never() {
            stream.take(&mut chunk, first?);
            stream.take_ready(&mut chunk);
        }
        stream.greeting = Some(chunk.freeze());
        Ok(stream)
    }

    /// The answer that carries it.
    pub(crate) fn into_response(self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
            // Kept by nobody, and not packed on the way either: what packs holds back.
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform")),
            (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
        ];
        (axum::Extension(LongLived), headers, Body::from_stream(self.into_chunks())).into_response()
    }

    /// The bytes to send, until the task's end or the process'.
    fn into_chunks(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
        stream::unfold(self, |mut stream| async move {
            let chunk = stream.next_chunk().await?;
            Some((Ok(chunk), stream))
        })
    }

    async fn next_chunk(&mut self) -> Option<Bytes> {
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting);
        }
        let mut chunk = BytesMut::new();
        // A protocol may have nothing to say to an entry.
        while chunk.is_empty() && self.state != Reading::Over {
            tokio::select! {
                biased;
                // Before what may always be ready.
                () = elapsed(self.pausing.as_mut()) => {
                    self.view.pause(&mut chunk);
                    self.state = Reading::Over;
                }
                next = self.reader.next() => match next {
                    Ok(entry) => {
                        self.take(&mut chunk, entry);
                        self.take_ready(&mut chunk);
                    }
                    Err(error) => self.break_off(&mut chunk, &error),
                },
                () = &mut self.closing => self.part(&mut chunk),
                () = &mut self.keep_alive => {
                    chunk.extend_from_slice(self.view.keep_alive());
                    self.keep_alive.as_mut().reset(Instant::now() + self.keep_alive_every);
                }
            }
        }
        self.keep_alive.as_mut().reset(Instant::now() + self.keep_alive_every);
        (!chunk.is_empty()).then(|| chunk.freeze())
    }

    /// Adds what is there without a wait.
    fn take_ready(&mut self, chunk: &mut BytesMut) {
        while self.state != Reading::Over && chunk.len() < CHUNK_BYTES {
            match self.reader.next().now_or_never() {
                Some(Ok(entry)) => self.take(chunk, entry),
                Some(Err(error)) => self.break_off(chunk, &error),
                None => break,
            }
        }
    }

    fn take(&mut self, chunk: &mut BytesMut, entry: Option<Entry>) {
        let Some(entry) = entry else {
            self.state = Reading::Over;
            return;
        };
        if self.state == Reading::Queued && entry.cursor.attempt > 0 {
            self.state = Reading::Running;
            self.closing = Box::pin(self.lifecycle.aborting().clone().cancelled_owned());
        }
        if matches!(entry.event, LogEvent::End(_)) {
            self.state = Reading::Over;
        }
        let before = chunk.len();
        if let Err(error) = self.view.entry(chunk, &entry) {
            chunk.truncate(before);
            self.logged(|| warn!(%error, "an event can't be written"));
            self.part(chunk);
        }
        if self.view.is_over() {
            self.state = Reading::Over;
        }
    }

    /// A line of the call's, which was answered before.
    fn logged(&self, log: impl FnOnce()) {
        let log = || self.span.in_scope(log);
        match &self.trace {
            Some(context) => trace::sync_scope(context.clone(), log),
            None => log(),
        }
    }

    /// The log fails or has expired meanwhile: the client comes back with its cursor, and is told why if that lasts.
    fn break_off(&mut self, chunk: &mut BytesMut, error: &FollowError) {
        self.logged(|| warn!(%error, "stream broken off"));
        self.part(chunk);
    }

    fn part(&mut self, chunk: &mut BytesMut) {
        self.view.part(chunk);
        self.state = Reading::Over;
    }
}

/// Never, where there is no such moment.
async fn elapsed(moment: Option<&mut Pin<Box<Sleep>>>) {
    match moment {
        Some(moment) => moment.await,
        None => std::future::pending().await,
    }
}
