//! `METRICS_PORT`: `/metrics` without credentials, for the collector that runs beside the process. On 127.0.0.1 alone, which
//! in Cloud Run the containers of an instance share and nobody else reaches.

use std::{convert::Infallible, net::Ipv4Addr, sync::Arc, time::Duration};

use http::{Method, Request, Response, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use parlance_shared::{Lifecycle, metrics::Metrics};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tracing::debug;

use crate::StartError;

/// A collector needs one.
const CONNECTIONS: usize = 8;
/// Scrapes come every minute or so, over a connection that stays open.
const IDLE: Duration = Duration::from_secs(90);
/// Of one connection, whatever happens on it.
const LONGEST: Duration = Duration::from_secs(3600);
const BUFFER_BYTES: usize = 16 * 1024;
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(crate) async fn listen(port: u16) -> Result<TcpListener, StartError> {
    let refused = |cause| StartError::Setting {
        name: "METRICS_PORT",
        problem: format!("can't listen on {}:{port}: {cause}", Ipv4Addr::LOCALHOST),
    };
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(refused)
}

/// Serves until the lifecycle stops.
pub(crate) async fn serve(listener: TcpListener, metrics: Arc<Metrics>, lifecycle: Lifecycle) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let stopping = lifecycle.stopping().clone();
    loop {
        let next = async {
            // Closed never happens: nobody closes it.
            let slot = Arc::clone(&slots).acquire_owned().await.ok();
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            next = next => next,
        };
        let Ok((socket, _)) = accepted else {
            sleep(PAUSE_AFTER_FAILURE).await;
            continue;
        };
        let (metrics, stopping) = (Arc::clone(&metrics), stopping.clone());
        lifecycle.spawn(async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                served = timeout(LONGEST, serve_connection(socket, metrics)) => drop(served),
            }
            drop(slot);
        });
    }
}

async fn serve_connection(socket: TcpStream, metrics: Arc<Metrics>) {
    let answer = service_fn(|request| std::future::ready(Ok::<_, Infallible>(answer(&request, &metrics))));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(IDLE).max_buf_size(BUFFER_BYTES);
    if let Err(error) = http.serve_connection(TokioIo::new(socket), answer).await {
        debug!(%error, "a connection to METRICS_PORT ended");
    }
}

fn answer(request: &Request<Incoming>, metrics: &Metrics) -> Response<String> {
    let (status, media_type, body) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => (StatusCode::OK, OPEN_METRICS, metrics.render()),
        (_, "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, "text/plain", String::new()),
        _ => (StatusCode::NOT_FOUND, "text/plain", String::new()),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(media_type));
    response
}
