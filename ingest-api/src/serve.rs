//! Takes connections and serves them until the process stops.
//!
//! Not `axum::serve`: the bounds that keep a stranger from holding a connection for nothing, and an idle subscriber
//! small, are set where hyper has them.

mod calls;
mod client_io;
mod connection;
mod long_answer;

use std::{io, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::Semaphore, time::sleep};
use tracing::{debug, warn};

pub(crate) use self::calls::LongLived;
use self::connection::Connections;
use crate::{router::router, state::ApiState};

/// Out of file descriptors or memory, accepting fails at once and for a while.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Serves the API on `listener`; returns when the process stops and every connection has been closed.
pub async fn serve(listener: TcpListener, state: Arc<ApiState>) {
    let lifecycle = state.lifecycle.clone();
    let slots = Arc::new(Semaphore::new(state.limits.connections));
    let connections = Arc::new(Connections::new(router(state.clone()), &state));
    loop {
        let next = async {
            // Closed never happens: nobody closes it.
            let slot = slots.clone().acquire_owned().await.ok();
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            biased;
            () = lifecycle.stopping().cancelled() => break,
            next = next => next,
        };
        match accepted {
            Ok((socket, _)) => {
                let serving = connections.clone().serve(socket);
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
    let all = u32::try_from(state.limits.connections).unwrap_or(u32::MAX);
    let _ = slots.acquire_many(all).await;
}

fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
