//! One connection, from its first byte to a graceful or a forced end: requests are hyper's, long streams are ours.
//!
//! hyper keeps 16 KiB of buffers per connection, which is nothing for a request and too much for thousands of clients
//! that wait for a word. So the answer to a stream's request is taken from hyper together with the socket, written by
//! [`super::long_answer`], and after its end a new hyper connection goes on with whatever the client asks next.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, response::IntoResponse as _};
use http::StatusCode;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use parlance_shared::{Clock, Lifecycle};
use tokio::{net::TcpStream, time::sleep};
use tracing::debug;

use super::{
    calls::{Calls, Handoff, LongAnswer},
    client_io::ClientIo,
    long_answer,
};
use crate::{
    limits::Peer,
    problem::{Code, Problem},
    state::ApiState,
};

/// Room for a request's line and headers, and the most that is read at a time.
const BUFFER_BYTES: usize = 16 * 1024;

/// After work was handed back, a client has this long to take the last bytes.
const LAST_BYTES: Duration = Duration::from_secs(1);

/// How connections are served.
pub(super) struct Connections {
    http: http1::Builder,
    router: Router,
    lifecycle: Lifecycle,
    clock: Clock,
    write_stall: Duration,
    state: Arc<ApiState>,
}

/// How hyper's part of a connection ended.
enum Http {
    Over,
    /// What came is no request, or not a whole one in time.
    Refused(ClientIo, Problem),
    /// A long answer is ours to write.
    Handed(ClientIo, LongAnswer),
}

type Serving = http1::Connection<TokioIo<ClientIo>, Calls>;

impl Connections {
    pub(super) fn new(router: Router, state: &Arc<ApiState>) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(state.limits.header_timeout)
            .max_buf_size(BUFFER_BYTES)
            .pipeline_flush(false);
        let (lifecycle, clock) = (state.lifecycle.clone(), state.clock.clone());
        Self { http, router, lifecycle, clock, write_stall: state.limits.write_stall, state: state.clone() }
    }

    /// Serves until the client leaves or the process stops.
    pub(super) async fn serve(self: Arc<Self>, socket: TcpStream, peer: Peer) {
        // A token must not wait for the one before it to be acknowledged.
        if let Err(error) = socket.set_nodelay(true) {
            debug!(%error, "the connection keeps Nagle's algorithm");
        }
        let mut io = ClientIo::new(socket, self.write_stall);
        loop {
            // Boxed, so that nothing of hyper is kept while a long answer is written.
            io = match Box::pin(self.serve_http(io, peer)).await {
                Http::Over => return,
                Http::Refused(io, problem) => return self.tell(io, problem).await,
                Http::Handed(mut io, answer) => {
                    let keeps = answer.keeps_connection && !self.lifecycle.stopping().is_cancelled();
                    let head = long_answer::head(&answer.response, &self.clock, keeps);
                    let written = self.unless_cut(long_answer::write(&mut io, head, answer.response)).await;
                    match written {
                        Some(Ok(())) if keeps && !self.lifecycle.stopping().is_cancelled() => io,
                        Some(Ok(())) => return close(io).await,
                        Some(Err(error)) => return debug!(%error, "a stream's client is gone"),
                        None => return,
                    }
                }
            };
        }
    }

    async fn serve_http(&self, io: ClientIo, peer: Peer) -> Http {
        let handoff = Arc::new(Handoff::new(&io));
        let calls = Calls::new(self.router.clone(), handoff.clone(), peer);
        let mut serving = self.http.serve_connection(TokioIo::new(io), calls);
        let mut stopping = false;
        let ended = loop {
            tokio::select! {
                biased;
                ended = std::future::poll_fn(|context| poll_http(&mut serving, &handoff, context)) => break ended,
                () = self.lifecycle.stopping().cancelled(), if !stopping => {
                    stopping = true;
                    Pin::new(&mut serving).graceful_shutdown();
                }
                () = self.cut(), if stopping => return Http::Over,
            }
        };
        match ended {
            Ok(None) => Http::Over,
            Ok(Some(answer)) => {
                let parts = serving.into_parts();
                let mut io = parts.io.into_inner();
                io.unread(&parts.read_buf);
                Http::Handed(io, answer)
            }
            Err(error) => {
                debug!(%error, "connection ended");
                let parts = serving.into_parts();
                // Nothing was begun on a connection that was only kept open.
                if error.is_timeout() && !parts.read_buf.is_empty() {
                    return Http::Refused(parts.io.into_inner(), late());
                }
                let mut io = parts.io.into_inner();
                match io.take_withheld().map(malformed) {
                    Some(problem) => Http::Refused(io, problem),
                    None => Http::Over,
                }
            }
        }
    }

    async fn tell(&self, mut io: ClientIo, problem: Problem) {
        let mut answer = problem.into_response();
        self.state.door.add_headers(answer.headers_mut());
        let head = long_answer::head(&answer, &self.clock, false);
        if let Some(Ok(())) = self.unless_cut(long_answer::write(&mut io, head, answer)).await {
            close(io).await;
        }
    }

    async fn unless_cut<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.cut() => None,
        }
    }

    async fn cut(&self) {
        self.lifecycle.aborting().cancelled().await;
        sleep(LAST_BYTES).await;
    }
}

fn poll_http(
    serving: &mut Serving,
    handoff: &Handoff,
    context: &mut Context<'_>,
) -> Poll<Result<Option<LongAnswer>, hyper::Error>> {
    let ended = Pin::new(serving).poll(context);
    match (ended, handoff.take()) {
        (Poll::Ready(ended), _) => Poll::Ready(ended.map(|()| None)),
        (Poll::Pending, Some(answer)) => Poll::Ready(Ok(Some(answer))),
        (Poll::Pending, None) => Poll::Pending,
    }
}

fn late() -> Problem {
    Problem::new(Code::RequestTimeout, "The request's line and headers were not complete in time.")
}

/// What hyper answers by a status alone.
fn malformed(status: StatusCode) -> Problem {
    match status {
        StatusCode::URI_TOO_LONG => Problem::new(Code::UriTooLong, "Use a shorter path and query."),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            let detail = format!("The request's line and headers may have {BUFFER_BYTES} bytes and 100 headers.");
            Problem::new(Code::HeadersTooLarge, detail)
        }
        _ => Problem::new(Code::MalformedRequest, "The request's line, headers or length can't be understood."),
    }
}

async fn close(mut io: ClientIo) {
    let closed: io::Result<()> = tokio::io::AsyncWriteExt::shutdown(&mut io).await;
    if let Err(error) = closed {
        debug!(%error, "the client had closed before");
    }
}
