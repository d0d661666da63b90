//! One connection: HTTP/1.1 with small buffers, from its first byte to a graceful or a forced end.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use parlance_shared::Lifecycle;
use tokio::{net::TcpStream, time::sleep};
use tracing::debug;

use super::{prepare, stall_guard::StallGuard};
use crate::state::ApiState;

/// Room for a request's line and headers, and the most that is read at a time.
const BUFFER_BYTES: usize = 16 * 1024;

/// After work was handed back, a client has this long to take the last bytes.
const LAST_BYTES: Duration = Duration::from_secs(1);

/// How connections are served.
pub(super) struct Connections {
    http: http1::Builder,
    router: Router,
    lifecycle: Lifecycle,
    write_stall: Duration,
}

impl Connections {
    pub(super) fn new(router: Router, state: &Arc<ApiState>) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(state.limits.header_timeout)
            .max_buf_size(BUFFER_BYTES)
            .pipeline_flush(false);
        Self { http, router, lifecycle: state.lifecycle.clone(), write_stall: state.limits.write_stall }
    }

    /// Serves until the client leaves or the process stops.
    pub(super) fn serve(&self, socket: TcpStream) -> impl Future<Output = ()> + Send + 'static {
        prepare(&socket);
        let io = TokioIo::new(StallGuard::new(socket, self.write_stall));
        let serving = self.http.serve_connection(io, TowerToHyperService::new(self.router.clone()));
        let lifecycle = self.lifecycle.clone();
        async move {
            let mut serving = pin!(serving);
            let ended = tokio::select! {
                ended = serving.as_mut() => ended,
                () = lifecycle.stopping().cancelled() => {
                    serving.as_mut().graceful_shutdown();
                    tokio::select! {
                        ended = serving => ended,
                        () = cut(&lifecycle) => Ok(()),
                    }
                }
            };
            if let Err(error) = ended {
                debug!(%error, "connection ended");
            }
        }
    }
}

async fn cut(lifecycle: &Lifecycle) {
    lifecycle.aborting().cancelled().await;
    sleep(LAST_BYTES).await;
}
