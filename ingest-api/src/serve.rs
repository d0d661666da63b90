//! Takes connections and serves them until the process stops.
//!
//! Not `axum::serve`: the bounds that keep a stranger from holding a connection for nothing, and an idle subscriber
//! small, are set where hyper has them.

mod calls;
mod client_io;
mod connection;
mod long_answer;

use std::{io, sync::Arc, time::Duration};

use parlance_service::listen::most_connections;
use tokio::{net::TcpListener, sync::Semaphore, time::sleep};
use tracing::{debug, warn};

pub(crate) use self::calls::LongLived;
use self::connection::Connections;
use crate::{limits::Peer, router::router, state::ApiState};

/// Out of file descriptors or memory, accepting fails at once and for a while.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Serves the API on `listener`; returns when the process stops and every connection has been closed.
pub async fn serve(listener: TcpListener, state: Arc<ApiState>) {
    let lifecycle = state.lifecycle.clone();
    // Out of files, the database and the model could not be reached either.
    let most = state.door.connections.min(state.limits.connections).min(most_connections());
    let slots = Arc::new(Semaphore::new(most));
    let connections = Arc::new(Connections::new(router(state.clone()), &state));
    state.door.limits.watch_load(&state.metrics, &lifecycle);
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
            Ok((socket, peer)) => {
                let serving = connections.clone().serve(socket, Peer(peer.ip()));
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
    let all = u32::try_from(most).unwrap_or(u32::MAX);
    let _ = slots.acquire_many(all).await;
}

fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
