//! Takes connections and serves them until the process stops.
//!
//! Not `axum::serve`: the bounds that keep a stranger from holding connections for nothing are set where hyper has them.

use std::{io, pin::pin, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use parlance_shared::Lifecycle;
use std::sync::Arc;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::sleep,
};
use tracing::{debug, warn};

use crate::{router::router, worker_http::WorkerHttp};

/// Out of file descriptors or memory, accepting fails at once and for a while.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Room for a request's line and headers: an unwrapped push carries a message's attributes there.
const BUFFER_BYTES: usize = 64 * 1024;

/// After work was handed back, a caller has this long to take the answer.
const LAST_BYTES: Duration = Duration::from_secs(1);

/// Serves a worker's HTTP side on `listener`; returns when the process stops and every connection has been closed.
///
/// From the soft stop on, new pushes are refused and the listener is closed; those under way are answered, at the latest
/// when the lifecycle aborts.
pub async fn serve(listener: TcpListener, worker: WorkerHttp, lifecycle: Lifecycle) {
    let limits = worker.limits;
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.header_timeout).max_buf_size(BUFFER_BYTES);
    let app = router(worker, lifecycle.clone());
    let slots = Arc::new(Semaphore::new(limits.connections));
    loop {
        let next = async {
            // Closed never happens: nobody closes it.
            let slot = Arc::clone(&slots).acquire_owned().await.ok();
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            biased;
            () = lifecycle.stopping().cancelled() => break,
            next = next => next,
        };
        match accepted {
            Ok((socket, _)) => {
                let serving = serve_connection(http.clone(), socket, app.clone(), lifecycle.clone());
                lifecycle.spawn(async move {
                    serving.await;
                    drop(slot);
                });
            }
            Err(error) if is_the_clients(&error) => debug!(%error, "a connection was gone before it was accepted"),
            Err(error) => {
                warn!(%error, "no connection can be accepted for the moment");
                sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
    drop(listener);
    let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    let _ = slots.acquire_many(all).await;
}

async fn serve_connection(http: http1::Builder, socket: TcpStream, app: Router, lifecycle: Lifecycle) {
    if let Err(error) = socket.set_nodelay(true) {
        debug!(%error, "the connection keeps Nagle's algorithm");
    }
    let mut serving = pin!(http.serve_connection(TokioIo::new(socket), TowerToHyperService::new(app)));
    let cut = async {
        lifecycle.aborting().cancelled().await;
        sleep(LAST_BYTES).await;
    };
    let mut cut = pin!(cut);
    let mut stopping = false;
    let ended = loop {
        tokio::select! {
            biased;
            ended = &mut serving => break ended,
            () = lifecycle.stopping().cancelled(), if !stopping => {
                stopping = true;
                serving.as_mut().graceful_shutdown();
            }
            () = &mut cut => return,
        }
    };
    if let Err(error) = ended {
        debug!(%error, "connection ended");
    }
}

fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
